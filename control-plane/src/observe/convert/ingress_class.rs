//! IngressClass (`networking.k8s.io/v1`).

use crate::model::ingress::IngressClass;
use crate::model::key::Kind;
use crate::model::key::Origin;
use crate::model::object::Spec;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::convert::{Convert, types};
use crate::state::CONTROLLER;

impl Convert for types::IngressClass {
    const MODEL_KIND: Kind = Kind::IngressClass;

    fn spec(&self, _: Origin) -> Result<Spec, Refusal> {
        let spec = self.spec.as_ref();
        let controller = spec
            .and_then(|spec| spec.controller.as_deref())
            .unwrap_or_default();
        // What others say to their own controllers does not matter where these are served, too.
        let ours = controller == CONTROLLER;
        if ours && spec.is_some_and(|spec| spec.parameters.is_some()) {
            return Err(Refusal::new(
                Reason::Unsupported,
                "spec.parameters",
                "this controller knows no parameters; remove them",
            ));
        }
        let annotations = self.metadata.annotations.as_ref();
        let default = annotations.and_then(|annotations| annotations.get(IS_DEFAULT));
        Ok(Spec::IngressClass(IngressClass {
            controller: controller.into(),
            is_default: default.is_some_and(|value| value == "true"),
        }))
    }
}

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
