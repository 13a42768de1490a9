//! Enums that the database spells as text.

/// An enum that is read from a column.
pub(crate) trait TextEnum: Sized {
    /// Stands for a name that this release does not know.
    const UNKNOWN: Self;

    /// From the database's spelling.
    fn parse(text: &str) -> Option<Self>;
}

/// Declares an enum with the text of each variant, `name()` and `parse()`. One that is read from a
/// column says with `else` how a name is shown that this release does not know: a variant of its
/// own, which comes first and is in no list.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident $(, else $unknown:ident)? {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(
                /// Of a name that a later release wrote.
                $unknown,
            )?
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// All that have a name.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As the database spells it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$unknown => "unspecified",)?
                    $(Self::$variant => $text,)*
                }
            }

            /// From the database's spelling.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == text)
            }
        }

        $(
            impl $crate::text_enum::TextEnum for $name {
                const UNKNOWN: Self = Self::$unknown;

                fn parse(text: &str) -> Option<Self> {
                    Self::parse(text)
                }
            }
        )?
    };
}
pub(crate) use text_enum;
