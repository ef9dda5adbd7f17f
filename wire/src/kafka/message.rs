//! The table form of messages: a struct's fields, each with the versions that have it, and from it both directions of the
//! codec.
//!
//! ```text
//! message! {
//!     /// Docs.
//!     pub struct Name {
//!         field: Type, 3.. => -1;          // in versions 3 and later; before, it is -1
//!         other: Type, 0..=6;              // in versions up to 6; then it is the type's default
//!     } tagged {
//!         0 => third: Type, 10..;          // a tagged field: written where it differs from its default
//!     }
//! }
//! ```
//!
//! A field that its version does not have is not written, and read as its default. A tag nobody knows is passed over.

use super::field::{Field, Form};
use super::read::{DecodeError, Problem, Reader};
use super::write::Writer;

/// The smallest of the numbers.
pub(super) const fn least(numbers: &[usize]) -> usize {
    let mut least = usize::MAX;
    let mut rest = numbers;
    while let [first, more @ ..] = rest {
        if *first < least {
            least = *first;
        }
        rest = more;
    }
    least
}

/// Reads the tagged fields at the end of a struct; `known` reads those it knows, and says so.
pub(super) fn read_tags(
    from: &mut Reader,
    form: Form,
    mut known: impl FnMut(u32, &mut Reader) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    if !form.flexible {
        return Ok(());
    }
    let count = from.varint()?;
    let mut before = None;
    for _ in 0..count {
        let tag = from.varint()?;
        if let Some(before) = before.filter(|before| tag <= *before) {
            return Err(from.error(Problem::TagOrder { before, found: tag }));
        }
        before = Some(tag);
        let length = usize::try_from(from.varint()?).unwrap_or(usize::MAX);
        let begin = from.position();
        if !known(tag, from)? {
            from.skip(length)?;
        }
        let taken = from.position() - begin;
        if taken != length {
            return Err(from.error(Problem::TagLength { tag, found: length, taken }));
        }
    }
    Ok(())
}

/// Writes the tagged fields that differ from their defaults, in the order of their tags.
pub(super) fn write_tags(to: &mut Writer, form: Form, tags: &[(u32, &dyn WriteTag)]) {
    if !form.flexible {
        return;
    }
    to.varint(u32::try_from(tags.len()).unwrap_or(u32::MAX));
    for (tag, field) in tags {
        let mut content = Writer::default();
        field.write_tag(&mut content, form);
        let content = content.into_gathered();
        to.varint(*tag);
        to.varint(u32::try_from(content.len()).unwrap_or(u32::MAX));
        to.put(&content);
    }
}

/// A field of any type.
pub(super) trait WriteTag {
    fn write_tag(&self, to: &mut Writer, form: Form);
}

impl<T: Field> WriteTag for T {
    fn write_tag(&self, to: &mut Writer, form: Form) {
        self.write(to, form);
    }
}

macro_rules! message {
    (@default) => { ::core::default::Default::default() };
    (@default $default:expr) => { $default };

    ($(
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty, $versions:expr $(=> $default:expr)?;)*
        } $(tagged {
            $($(#[$tag_doc:meta])* $tag:literal => $tagged:ident: $tagged_type:ty, $tagged_versions:expr
                $(=> $tagged_default:expr)?;)*
        })?
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($($(#[$tag_doc])* pub $tagged: $tagged_type,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: message!(@default $($default)?),)*
                    $($($tagged: message!(@default $($tagged_default)?),)*)?
                }
            }
        }

        impl $crate::kafka::field::Field for $name {
            const BYTES_MIN: usize = $crate::kafka::message::least(
                &[1, $(<$type as $crate::kafka::field::Field>::BYTES_MIN,)*]
            );

            #[allow(unused_mut, reason = "a struct without fields has nothing to fill in")]
            fn read(
                from: &mut $crate::kafka::read::Reader,
                form: $crate::kafka::field::Form,
            ) -> Result<Self, $crate::kafka::read::DecodeError> {
                let mut message = Self::default();
                $(if ($versions).contains(&form.version) {
                    from.enter(concat!(stringify!($name), ".", stringify!($field)));
                    message.$field = $crate::kafka::field::Field::read(from, form)?;
                })*
                $crate::kafka::message::read_tags(from, form, |tag, from| {
                    match tag {
                        $($($tag if ($tagged_versions).contains(&form.version) => {
                            from.enter(concat!(stringify!($name), ".", stringify!($tagged)));
                            message.$tagged = $crate::kafka::field::Field::read(from, form)?;
                            Ok(true)
                        })*)?
                        _ => {
                            let _ = from;
                            Ok(false)
                        }
                    }
                })?;
                Ok(message)
            }

            fn write(&self, to: &mut $crate::kafka::write::Writer, form: $crate::kafka::field::Form) {
                $(if ($versions).contains(&form.version) {
                    $crate::kafka::field::Field::write(&self.$field, to, form);
                })*
                if form.flexible {
                    #[allow(unused_mut, reason = "most structs have no tagged field")]
                    let mut tags: Vec<(u32, &dyn $crate::kafka::message::WriteTag)> = Vec::new();
                    $($(
                        let default: $tagged_type = message!(@default $($tagged_default)?);
                        if ($tagged_versions).contains(&form.version) && self.$tagged != default {
                            tags.push(($tag, &self.$tagged));
                        }
                    )*)?
                    $crate::kafka::message::write_tags(to, form, &tags);
                }
            }
        }

        #[cfg(test)]
        impl $crate::kafka::tests::Any for $name {
            fn any(random: &mut $crate::kafka::tests::Random) -> Self {
                let _ = &random;
                Self {
                    $($field: $crate::kafka::tests::Any::any(random),)*
                    $($($tagged: $crate::kafka::tests::Any::any(random),)*)?
                }
            }
        }
    )*};
}
pub(super) use message;
