//! Reads types that nobody wrote: whatever a derived reader asks for is noted, and given.
//!
//! What it asks for is what it could read: every field with its name, every variant, be it in an
//! example or not.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer as _,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// All types that were met, by name.
#[derive(Default)]
pub(crate) struct Shapes {
    types: RefCell<BTreeMap<&'static str, Shape>>,
    /// The text to read in a field or a variant that does not read any text.
    texts: BTreeMap<&'static str, &'static str>,
}

#[derive(Default)]
struct Shape {
    /// Its fields or variants, whether they were met or not.
    names: BTreeSet<&'static str>,
    /// What was read as each of them that was met.
    parts: BTreeMap<String, String>,
    /// The variants that were met, and how often any was.
    met: BTreeSet<&'static str>,
    visits: usize,
}

impl Shapes {
    pub(crate) fn new(texts: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        Self {
            texts: texts.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Reads the type until all variants of all that it consists of were met.
    pub(crate) fn trace<'de, T: Deserialize<'de>>(&self) {
        for _ in 0..MOST {
            let mut read = String::new();
            if let Err(error) = T::deserialize(self.probe("", &mut read)) {
                panic!("{error}");
            }
            let types = self.types.borrow();
            if types.values().all(Shape::is_whole) {
                return;
            }
        }
        panic!("variants of {} are never read", std::any::type_name::<T>());
    }

    fn probe<'a>(&'a self, place: &'a str, read: &'a mut String) -> Probe<'a> {
        Probe {
            shapes: self,
            place,
            read,
        }
    }

    fn name(&self, name: &'static str, names: &'static [&'static str]) {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let mut types = self.types.borrow_mut();
        let shape = types.entry(name).or_default();
        assert!(
            shape.names.is_empty() || shape.names == names,
            "two types are called {name}"
        );
        shape.names = names;
    }

    fn note(&self, name: &'static str, part: String, read: &str) {
        let mut types = self.types.borrow_mut();
        let shape = types.entry(name).or_default();
        let before = shape.parts.insert(part, read.to_owned());
        assert!(
            before.is_none_or(|before| before == read),
            "{name} is read in two ways"
        );
    }
}

impl Shape {
    /// Whether all variants were met, if it has any.
    fn is_whole(&self) -> bool {
        self.visits == 0 || self.met == self.names
    }
}

/// A line for each field and each variant.
impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, shape) in self.types.borrow().iter() {
            for (part, read) in &shape.parts {
                writeln!(f, "{name}{part}{read}")?;
            }
        }
        Ok(())
    }
}

/// Gives whatever is asked for, and notes what that was.
struct Probe<'a> {
    shapes: &'a Shapes,
    /// Of which field or variant this is the value.
    place: &'a str,
    read: &'a mut String,
}

/// What is asked for by one word, and given as the least there is.
macro_rules! scalars {
    ($($ask:ident $give:ident $read:literal $value:expr;)*) => {
        $(fn $ask<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            $read.clone_into(self.read);
            visitor.$give($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    scalars! {
        deserialize_bool visit_bool "bool" false;
        deserialize_i8 visit_i8 "i8" 0;
        deserialize_i16 visit_i16 "i16" 0;
        deserialize_i32 visit_i32 "i32" 0;
        deserialize_i64 visit_i64 "i64" 0;
        deserialize_u8 visit_u8 "u8" 0;
        deserialize_u16 visit_u16 "u16" 0;
        deserialize_u32 visit_u32 "u32" 0;
        deserialize_u64 visit_u64 "u64" 0;
        deserialize_f32 visit_f32 "f32" 0.0;
        deserialize_f64 visit_f64 "f64" 0.0;
        deserialize_char visit_char "char" 'a';
        deserialize_bytes visit_bytes "bytes" &[];
        deserialize_byte_buf visit_byte_buf "bytes" Vec::new();
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(format!(
            "{} is read in more than one way",
            self.place
        )))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        "text".clone_into(self.read);
        let text = self.shapes.texts.get(self.place).copied().unwrap_or("a");
        let told = |error: Error| Error::custom(format!("{}: {error}", self.place));
        visitor.visit_str(text).map_err(told)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut read = String::new();
        let value = visitor.visit_some(self.shapes.probe(self.place, &mut read))?;
        *self.read = format!("{read}?");
        Ok(value)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        "nothing".clone_into(self.read);
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.some(1, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        parts: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.some(parts, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        parts: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.some(parts, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (mut key, mut value) = (String::new(), String::new());
        let entry = Entry {
            key: Some(self.shapes.probe(self.place, &mut key)),
            value: Some(self.shapes.probe(self.place, &mut value)),
        };
        let map = visitor.visit_map(entry)?;
        *self.read = format!("{{{key}: {value}}}");
        Ok(map)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        name.clone_into(self.read);
        self.shapes.name(name, fields);
        let fields = Fields {
            shapes: self.shapes,
            name,
            before: ".".to_owned(),
            rest: fields,
        };
        visitor.visit_map(fields)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        name.clone_into(self.read);
        self.shapes.name(name, variants);
        let variant = {
            let mut types = self.shapes.types.borrow_mut();
            let shape = types.entry(name).or_default();
            let next = variants[shape.visits % variants.len()];
            shape.visits += 1;
            shape.met.insert(next);
            next
        };
        visitor.visit_enum(Variant {
            shapes: self.shapes,
            name,
            variant,
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

impl Probe<'_> {
    /// So many values in a row.
    fn some<'de, V: Visitor<'de>>(self, many: usize, visitor: V) -> Result<V::Value, Error> {
        let mut read = Vec::new();
        let row = Row {
            shapes: self.shapes,
            place: self.place,
            rest: many,
            read: &mut read,
        };
        let row = visitor.visit_seq(row)?;
        *self.read = format!("[{}]", read.join(", "));
        Ok(row)
    }
}

struct Row<'a> {
    shapes: &'a Shapes,
    place: &'a str,
    rest: usize,
    read: &'a mut Vec<String>,
}

impl<'de> SeqAccess<'de> for Row<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(rest) = self.rest.checked_sub(1) else {
            return Ok(None);
        };
        self.rest = rest;
        let mut read = String::new();
        let value = seed.deserialize(self.shapes.probe(self.place, &mut read))?;
        self.read.push(read);
        Ok(Some(value))
    }
}

/// One entry of a map.
struct Entry<'a> {
    key: Option<Probe<'a>>,
    value: Option<Probe<'a>>,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.key.take().map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = self.value.take();
        seed.deserialize(value.ok_or_else(|| Error::custom("a second value"))?)
    }
}

/// The fields of a type, or of a variant of it.
struct Fields<'a> {
    shapes: &'a Shapes,
    name: &'static str,
    before: String,
    rest: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.rest.first() else {
            return Ok(None);
        };
        let field: StrDeserializer<'_, Error> = field.into_deserializer();
        seed.deserialize(field).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (field, rest) = self.rest.split_first().unwrap();
        self.rest = rest;
        let part = format!("{}{field}", self.before);
        let place = format!("{}{part}", self.name);
        let mut read = String::new();
        let value = seed.deserialize(self.shapes.probe(&place, &mut read))?;
        self.shapes.note(self.name, format!("{part}: "), &read);
        Ok(value)
    }
}

/// A variant that is read next.
struct Variant<'a> {
    shapes: &'a Shapes,
    name: &'static str,
    variant: &'static str,
}

impl Variant<'_> {
    fn part(&self) -> String {
        format!("::{}", self.variant)
    }

    fn whole<T>(&self, read: impl FnOnce(Probe<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let place = format!("{}{}", self.name, self.part());
        let mut of = String::new();
        let value = read(self.shapes.probe(&place, &mut of))?;
        self.shapes
            .note(self.name, format!("{}: ", self.part()), &of);
        Ok(value)
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant: StrDeserializer<'_, Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.shapes.note(self.name, self.part(), "");
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.whole(|probe| seed.deserialize(probe))
    }

    fn tuple_variant<V: Visitor<'de>>(self, parts: usize, visitor: V) -> Result<V::Value, Error> {
        self.whole(|probe| probe.some(parts, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields {
            shapes: self.shapes,
            name: self.name,
            before: format!("{}.", self.part()),
            rest: fields,
        })
    }
}

/// Far more reads than there are ways through the variants.
const MOST: usize = 10_000;
