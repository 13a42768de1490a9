//! Why a refresh brought nothing, as both services and the database name it.

use std::sync::LazyLock;

/// The classes of the contract; their meaning is in `chat.proto`, and they are listed there alone.
pub use crate::chat::v1::ProblemClass;

const PREFIX: &str = "PROBLEM_CLASS_";

/// The names of all classes in lower case, by number.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    (0..)
        .map_while(|number| ProblemClass::try_from(number).ok())
        .map(|class| {
            class
                .as_str_name()
                .trim_start_matches(PREFIX)
                .to_lowercase()
        })
        .collect()
});

/// The name of a problem class in logs, metrics and the database.
pub trait ProblemName: Sized {
    /// The name, as in `rate_limited`.
    fn name(self) -> &'static str;
    /// The class of a name. `None` for a name that this version does not know, and for `unspecified`.
    fn from_name(name: &str) -> Option<Self>;
}

impl ProblemName for ProblemClass {
    fn name(self) -> &'static str {
        let index = usize::try_from(i32::from(self)).unwrap_or(0);
        NAMES.get(index).map_or("unspecified", String::as_str)
    }

    fn from_name(name: &str) -> Option<Self> {
        let index = NAMES.iter().position(|known| known == name)?;
        let class = Self::try_from(i32::try_from(index).ok()?).ok()?;
        (class != Self::Unspecified).then_some(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_that_is_read_back() {
        let mut classes = 0;
        for number in 1..NAMES.len() {
            let class = ProblemClass::try_from(i32::try_from(number).unwrap()).unwrap();
            assert_eq!(ProblemClass::from_name(class.name()), Some(class));
            classes += 1;
        }
        assert!(classes >= 20, "{classes} classes");
        assert_eq!(ProblemClass::RateLimited.name(), "rate_limited");
    }

    #[test]
    fn a_name_that_is_not_known_has_no_class() {
        assert_eq!(ProblemClass::from_name("unspecified"), None);
        assert_eq!(ProblemClass::from_name("of_a_later_release"), None);
    }
}
