//! The forms in which the values of the store travel, for those that have none of their own.

use std::sync::Arc;

use registry_core::portable::{PortableEntry, PortableImage, PortableRecord};
use registry_core::{
    Anchor, Cause, ChangePage, CodecError, Key, LogEntry, Mutation, Precondition, RangePage,
    RestorePage, Revision, Seal, Transaction, TransactionId, Versioned,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that travels in another form.
pub(super) trait Formed: Sized {
    type Form: Serialize + DeserializeOwned;

    fn form(&self) -> Self::Form;

    fn read(form: Self::Form) -> Result<Self, CodecError>;
}

/// For `#[serde(with = "form")]`.
pub(super) fn serialize<T: Formed, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.form().serialize(serializer)
}

/// For `#[serde(with = "form")]`.
pub(super) fn deserialize<'de, T: Formed, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::read(T::Form::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl<T: Formed> Formed for Vec<T> {
    type Form = Vec<T::Form>;

    fn form(&self) -> Self::Form {
        self.iter().map(T::form).collect()
    }

    fn read(form: Self::Form) -> Result<Self, CodecError> {
        form.into_iter().map(T::read).collect()
    }
}

impl<T: Formed> Formed for Option<T> {
    type Form = Option<T::Form>;

    fn form(&self) -> Self::Form {
        self.as_ref().map(T::form)
    }

    fn read(form: Self::Form) -> Result<Self, CodecError> {
        form.map(T::read).transpose()
    }
}

impl Formed for Versioned {
    type Form = PortableRecord;

    fn form(&self) -> PortableRecord {
        self.into()
    }

    fn read(form: PortableRecord) -> Result<Self, CodecError> {
        form.try_into()
    }
}

impl Formed for Arc<LogEntry> {
    type Form = PortableEntry;

    fn form(&self) -> PortableEntry {
        (&**self).into()
    }

    fn read(form: PortableEntry) -> Result<Self, CodecError> {
        LogEntry::try_from(form).map(Arc::new)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MutationForm {
    Put(Box<PortableImage>),
    Delete(Key),
}

impl Formed for Mutation {
    type Form = MutationForm;

    fn form(&self) -> MutationForm {
        match self {
            Self::Put(image) => MutationForm::Put(Box::new((&**image).into())),
            Self::Delete(key) => MutationForm::Delete(key.clone()),
        }
    }

    fn read(form: MutationForm) -> Result<Self, CodecError> {
        Ok(match form {
            MutationForm::Put(image) => Self::Put(image.read()?),
            MutationForm::Delete(key) => Self::Delete(key),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct TransactionForm {
    id: TransactionId,
    preconditions: Vec<Precondition>,
    mutations: Vec<MutationForm>,
    cause: Cause,
}

/// A precondition without the record that the asker saw, which is a help to a store at hand alone.
fn sent(precondition: &Precondition) -> Precondition {
    match precondition {
        Precondition::Unmodified(seen) => {
            Precondition::ModifiedAt(seen.key().clone(), seen.modified)
        }
        other => other.clone(),
    }
}

impl Formed for Transaction {
    type Form = TransactionForm;

    fn form(&self) -> TransactionForm {
        TransactionForm {
            id: self.id,
            preconditions: self.preconditions.iter().map(sent).collect(),
            mutations: self.mutations.form(),
            cause: Cause::clone(&self.cause),
        }
    }

    fn read(form: TransactionForm) -> Result<Self, CodecError> {
        Ok(Self {
            id: form.id,
            preconditions: form.preconditions,
            mutations: Vec::read(form.mutations)?,
            cause: form.cause.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RangePageForm {
    records: Vec<PortableRecord>,
    next: Option<Key>,
    revision: Revision,
}

impl Formed for RangePage {
    type Form = RangePageForm;

    fn form(&self) -> RangePageForm {
        RangePageForm {
            records: self.records.form(),
            next: self.next.clone(),
            revision: self.revision,
        }
    }

    fn read(form: RangePageForm) -> Result<Self, CodecError> {
        Ok(Self {
            records: Vec::read(form.records)?,
            next: form.next,
            revision: form.revision,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChangePageForm {
    entries: Vec<PortableEntry>,
    through: Revision,
    head: Revision,
}

impl Formed for ChangePage {
    type Form = ChangePageForm;

    fn form(&self) -> ChangePageForm {
        ChangePageForm {
            entries: self.entries.form(),
            through: self.through,
            head: self.head,
        }
    }

    fn read(form: ChangePageForm) -> Result<Self, CodecError> {
        Ok(Self {
            entries: Vec::read(form.entries)?,
            through: form.through,
            head: form.head,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RestorePageForm {
    anchor: Option<Anchor>,
    entries: Vec<PortableEntry>,
    records: Vec<PortableRecord>,
    seal: Option<Seal>,
}

impl Formed for RestorePage {
    type Form = RestorePageForm;

    fn form(&self) -> RestorePageForm {
        RestorePageForm {
            anchor: self.anchor,
            entries: self.entries.form(),
            records: self.records.form(),
            seal: self.seal.clone(),
        }
    }

    fn read(form: RestorePageForm) -> Result<Self, CodecError> {
        Ok(Self {
            anchor: form.anchor,
            entries: Vec::read(form.entries)?,
            records: Vec::read(form.records)?,
            seal: form.seal,
        })
    }
}
