//! Python's keys: 1, 1.0 and `true` are one there and three to minijinja, a float is no index of a
//! list, and a method is a value. `source` marks where a template may tell; what it marks is here.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Environment, Error};

/// The filter that a dictionary gets whose keys are not all texts.
pub(crate) const BY_PYTHON: &str = "keyed_by_python";
/// The filter of a float between brackets.
pub(crate) const FLOAT_KEY: &str = "float_key";
/// What is asked of an attribute that bears a method's name, and the test that answers.
pub(crate) const ATTRIBUTE_TESTS: &[(&str, &str)] = &[
    ("callable", "with_callable"),
    ("defined", "with_attribute"),
    ("undefined", "without_attribute"),
];

const LIST_METHODS: &[&str] = &["append", "count", "pop"];
const MAP_METHODS: &[&str] = &["get", "items", "keys", "values"];
const TEXT_METHODS: &[&str] = &[
    "capitalize",
    "count",
    "endswith",
    "find",
    "format",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "lower",
    "lstrip",
    "replace",
    "rfind",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
];

/// Whether any value has a method of this name.
pub(crate) fn is_method(name: &str) -> bool {
    [LIST_METHODS, MAP_METHODS, TEXT_METHODS].iter().any(|names| names.contains(&name))
}

pub(crate) fn teach(environment: &mut Environment<'_>) {
    environment.add_filter(BY_PYTHON, |value: &Value| -> Result<Value, Error> {
        let pairs = value.try_iter()?.map(|key| Ok((key.clone(), value.get_item(&key)?)));
        Ok(dictionary(pairs.collect::<Result<_, Error>>()?))
    });
    environment.add_filter(FLOAT_KEY, |number: f64| Value::from_object(FloatKey(number)));
    environment.add_test("callable", is_function);
    environment.add_test("with_callable", |value: &Value, name: &str| {
        Ok::<_, Error>(has_method(value, name) || is_function(&value.get_attr(name)?))
    });
    environment.add_test("with_attribute", has_attribute);
    environment.add_test("without_attribute", |value: &Value, name: &str| {
        has_attribute(value, name).map(|has| !has)
    });
}

fn has_method(value: &Value, name: &str) -> bool {
    let names = match value.kind() {
        ValueKind::Map => MAP_METHODS,
        ValueKind::Seq => LIST_METHODS,
        ValueKind::String => TEXT_METHODS,
        _ => &[],
    };
    names.contains(&name)
}

fn is_function(value: &Value) -> bool {
    value.kind() == ValueKind::Plain
}

fn has_attribute(value: &Value, name: &str) -> Result<bool, Error> {
    Ok(has_method(value, name) || !value.get_attr(name)?.is_undefined())
}

/// A dictionary as Python makes it: of keys that are one, the first is kept, with the last value.
pub(crate) fn dictionary(pairs: Vec<(Value, Value)>) -> Value {
    if pairs.iter().all(|(key, _)| key.kind() == ValueKind::String) {
        return Value::from_pairs(pairs);
    }
    let mut keyed = Keyed::default();
    for (key, value) in pairs {
        if keyed.values.insert(python_key(&key), value).is_none() {
            keyed.keys.push(key);
        }
    }
    Value::from_object(keyed)
}

/// The number that a key is to Python, if it is one.
fn python_key(key: &Value) -> Value {
    match (key.downcast_object_ref::<FloatKey>(), key.kind()) {
        (Some(FloatKey(number)), _) => Value::from(*number),
        (None, ValueKind::Bool) => Value::from(i64::from(key.is_true())),
        (None, _) => key.clone(),
    }
}

#[derive(Debug, Default)]
struct Keyed {
    /// As they were first written, in order.
    keys: Vec<Value>,
    values: HashMap<Value, Value>,
}

impl Object for Keyed {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.values.get(&python_key(key)).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.clone())
    }
}

/// A float as a key: minijinja itself would take 1.0 for the index 1.
#[derive(Debug)]
struct FloatKey(f64);

impl Object for FloatKey {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}
