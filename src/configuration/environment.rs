//! Environment variables as a source of settings.

use super::tree::{Origin, Tree};

/// Variables as names and values; those that are no Unicode text cannot be settings.
pub(super) type Variables = Vec<(String, String)>;

pub(super) fn of_this_process() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Takes the variables whose name begins with the prefix, in any case, and whose rest is the key: `__` stands for `:`.
pub(super) fn read(variables: &Variables, prefix: &str, tree: &mut Tree) {
    let prefix = prefix.replace("__", ":");
    for (name, value) in variables {
        let key = name.replace("__", ":");
        let Some((start, rest)) = key.split_at_checked(prefix.len()) else {
            continue;
        };
        if start.eq_ignore_ascii_case(&prefix) {
            let origin = Origin::Environment {
                variable: name.as_str().into(),
            };
            tree.set(rest, Some(value.clone()), origin);
        }
    }
}
