//! An object that may not be what its kind says: it must not end the watch of all others.
//!
//! As kube's `DeserializeGuard`, which reads every object into a tree first and costs three
//! times as much; here only what fails is read twice.

use std::borrow::Cow;

use kube::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::observe::convert::metadata;
use crate::observe::convert::types::ObjectMeta;

/// An object, or as much of it as can be read.
#[derive(Clone, Debug)]
pub(super) struct Guarded<K>(pub(super) Result<K, Broken>);

/// An object that is not what its kind says.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) metadata: ObjectMeta,
    pub(super) error: String,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let error = match serde_json::from_str(text.get()) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let value: Value = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let metadata = metadata(value.get("metadata").unwrap_or(&Value::Null));
        Ok(Self(Err(Broken { metadata, error })))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &K::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &K::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(broken) => &broken.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(broken) => &mut broken.metadata,
        }
    }
}
