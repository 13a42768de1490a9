//! Why a refresh brought nothing, as both services and the database name it.

use std::sync::LazyLock;

use super::field::{FieldError, Wire};

/// The classes of the contract; their meaning is in `chat.proto`, and they are listed there alone.
pub use crate::chat::v1::ProblemClass;

const PREFIX: &str = "PROBLEM_CLASS_";

/// The names of all classes in lower case, by number.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let classes = (0..).map_while(|number| ProblemClass::try_from(number).ok());
    let names = classes.map(|class| class.as_str_name().replacen(PREFIX, "", 1));
    names.map(|name| name.to_lowercase()).collect()
});

/// The name of a problem class in logs, metrics and the database.
pub trait ProblemName: Sized {
    /// The name, as in `rate_limited`.
    fn name(self) -> &'static str;
    /// The class of a name. `None` for a name that this version does not know, and for
    /// `unspecified`.
    fn from_name(name: &str) -> Option<Self>;
}

impl ProblemName for ProblemClass {
    fn name(self) -> &'static str {
        let index = usize::try_from(i32::from(self)).unwrap_or(0);
        NAMES.get(index).map_or("unspecified", String::as_str)
    }

    fn from_name(name: &str) -> Option<Self> {
        let index = NAMES.iter().position(|known| known == name)?;
        Self::read(i32::try_from(index).ok()?).ok()
    }
}

impl Wire<i32> for ProblemClass {
    fn read(number: i32) -> Result<Self, FieldError> {
        match Self::try_from(number) {
            Ok(Self::Unspecified) | Err(_) => {
                Err(FieldError::new("", "must say what the problem is"))
            }
            Ok(class) => Ok(class),
        }
    }

    fn message(&self) -> i32 {
        (*self).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_that_is_read_back_and_no_other_name_has_a_class() {
        for (number, name) in (1..).zip(&NAMES[1..]) {
            let class = ProblemClass::try_from(number).unwrap();
            assert_eq!(class.name(), name);
            assert_eq!(ProblemClass::from_name(name), Some(class));
        }
        assert_eq!(ProblemClass::RateLimited.name(), "rate_limited");
        assert_eq!(ProblemClass::from_name("unspecified"), None);
        assert_eq!(ProblemClass::from_name("of_a_later_release"), None);
    }
}
