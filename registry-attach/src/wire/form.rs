//! The forms in which the values of the store travel, for those that have none of their own.

use std::borrow::Cow;
use std::sync::Arc;

use registry_core::portable::{PortableEntry, PortableImage, PortableRecord};
use registry_core::{
    Anchor, Cause, ChangePage, CodecError, Key, LogEntry, Mutation, Precondition, RangePage,
    RestorePage, Revision, Seal, Transaction, TransactionId, Versioned,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that travels in another form, which borrows from it until it was sent.
pub(super) trait Formed: Sized + 'static {
    type Form<'a>: Serialize;

    fn form(&self) -> Self::Form<'_>;

    fn read(form: Self::Form<'static>) -> Result<Self, CodecError>;
}

/// For `#[serde(with = "form")]`.
pub(super) fn serialize<T: Formed, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.form().serialize(serializer)
}

/// For `#[serde(with = "form")]`.
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Formed,
    T::Form<'static>: DeserializeOwned,
    D: Deserializer<'de>,
{
    T::read(T::Form::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl<T: Formed> Formed for Vec<T> {
    type Form<'a> = Vec<T::Form<'a>>;

    fn form(&self) -> Self::Form<'_> {
        self.iter().map(T::form).collect()
    }

    fn read(form: Self::Form<'static>) -> Result<Self, CodecError> {
        form.into_iter().map(T::read).collect()
    }
}

impl<T: Formed> Formed for Option<T> {
    type Form<'a> = Option<T::Form<'a>>;

    fn form(&self) -> Self::Form<'_> {
        self.as_ref().map(T::form)
    }

    fn read(form: Self::Form<'static>) -> Result<Self, CodecError> {
        form.map(T::read).transpose()
    }
}

impl Formed for Versioned {
    type Form<'a> = PortableRecord<'a>;

    fn form(&self) -> PortableRecord<'_> {
        self.into()
    }

    fn read(form: PortableRecord<'static>) -> Result<Self, CodecError> {
        form.try_into()
    }
}

impl Formed for Arc<LogEntry> {
    type Form<'a> = PortableEntry<'a>;

    fn form(&self) -> PortableEntry<'_> {
        (&**self).into()
    }

    fn read(form: PortableEntry<'static>) -> Result<Self, CodecError> {
        LogEntry::try_from(form).map(Arc::new)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MutationForm<'a> {
    Put(Box<PortableImage<'a>>),
    Delete(Cow<'a, Key>),
}

impl Formed for Mutation {
    type Form<'a> = MutationForm<'a>;

    fn form(&self) -> MutationForm<'_> {
        match self {
            Self::Put(image) => MutationForm::Put(Box::new((&**image).into())),
            Self::Delete(key) => MutationForm::Delete(Cow::Borrowed(key)),
        }
    }

    fn read(form: MutationForm<'static>) -> Result<Self, CodecError> {
        Ok(match form {
            MutationForm::Put(image) => Self::Put(image.read()?),
            MutationForm::Delete(key) => Self::Delete(key.into_owned()),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct TransactionForm<'a> {
    id: TransactionId,
    preconditions: Vec<Precondition>,
    mutations: Vec<MutationForm<'a>>,
    cause: Cow<'a, Cause>,
}

/// A precondition without what the asker saw, which is a help to a store at hand alone.
fn sent(precondition: &Precondition) -> Precondition {
    match precondition {
        Precondition::AsSeen(seen) => Precondition::ModifiedAt(seen.key.clone(), seen.modified()),
        other => other.clone(),
    }
}

impl Formed for Transaction {
    type Form<'a> = TransactionForm<'a>;

    fn form(&self) -> TransactionForm<'_> {
        TransactionForm {
            id: self.id,
            preconditions: self.preconditions.iter().map(sent).collect(),
            mutations: self.mutations.form(),
            cause: Cow::Borrowed(&self.cause),
        }
    }

    fn read(form: TransactionForm<'static>) -> Result<Self, CodecError> {
        Ok(Self {
            id: form.id,
            preconditions: form.preconditions,
            mutations: Vec::read(form.mutations)?,
            cause: form.cause.into_owned().into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RangePageForm<'a> {
    records: Vec<PortableRecord<'a>>,
    next: Option<Key>,
    revision: Revision,
}

impl Formed for RangePage {
    type Form<'a> = RangePageForm<'a>;

    fn form(&self) -> RangePageForm<'_> {
        RangePageForm {
            records: self.records.form(),
            next: self.next.clone(),
            revision: self.revision,
        }
    }

    fn read(form: RangePageForm<'static>) -> Result<Self, CodecError> {
        Ok(Self {
            records: Vec::read(form.records)?,
            next: form.next,
            revision: form.revision,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChangePageForm<'a> {
    entries: Vec<PortableEntry<'a>>,
    through: Revision,
    head: Revision,
}

impl Formed for ChangePage {
    type Form<'a> = ChangePageForm<'a>;

    fn form(&self) -> ChangePageForm<'_> {
        ChangePageForm {
            entries: self.entries.form(),
            through: self.through,
            head: self.head,
        }
    }

    fn read(form: ChangePageForm<'static>) -> Result<Self, CodecError> {
        Ok(Self {
            entries: Vec::read(form.entries)?,
            through: form.through,
            head: form.head,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RestorePageForm<'a> {
    anchor: Option<Anchor>,
    entries: Vec<PortableEntry<'a>>,
    records: Vec<PortableRecord<'a>>,
    seal: Option<Seal>,
}

impl Formed for RestorePage {
    type Form<'a> = RestorePageForm<'a>;

    fn form(&self) -> RestorePageForm<'_> {
        RestorePageForm {
            anchor: self.anchor,
            entries: self.entries.form(),
            records: self.records.form(),
            seal: self.seal.clone(),
        }
    }

    fn read(form: RestorePageForm<'static>) -> Result<Self, CodecError> {
        Ok(Self {
            anchor: form.anchor,
            entries: Vec::read(form.entries)?,
            records: Vec::read(form.records)?,
            seal: form.seal,
        })
    }
}
