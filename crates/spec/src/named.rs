//! Enumerations whose values are names in config.json: one table gives the parser, the printer and the list.

/// Declares an enumeration from `Variant = "NAME"` rows, with `ALL`, `name()` and `Display`.
///
/// An unknown name is a read error that lists the allowed ones.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$attribute:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $(#[$attribute])* #[serde(rename = $text)] $variant),*
        }

        impl $name {
            /// Every value, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in config.json.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use named;
