//! What an embedded store holds between open and close: its engine, what only its writer has, what readers share.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Tip;
use crate::error::{ErrorKind, StoreError};
use crate::store::Result;

/// A value that readers share and the writer replaces in one step, so that a panic leaves nothing half-changed.
#[derive(Debug, Default)]
pub struct Shared<T>(RwLock<T>);

impl<T> Shared<T> {
    /// Holds a value.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    /// The value, to read.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, to change.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine that is there until the store is closed. Readers hold it for one call, so that a close waits for them.
#[derive(Debug)]
pub struct EngineSlot<E>(Shared<Option<E>>);

/// The engine, for one call.
#[derive(Debug)]
pub struct EngineRef<'a, E>(RwLockReadGuard<'a, Option<E>>);

impl<E> EngineSlot<E> {
    /// Holds an engine.
    pub fn new(engine: E) -> Self {
        Self(Shared::new(Some(engine)))
    }

    /// The engine.
    ///
    /// # Errors
    /// `Closed` once it was taken.
    pub fn get(&self, backend: &'static str) -> Result<EngineRef<'_, E>> {
        let engine = self.0.read();
        if engine.is_some() {
            return Ok(EngineRef(engine));
        }
        Err(StoreError::new(
            ErrorKind::Closed,
            backend,
            "the store was closed",
        ))
    }

    /// Takes the engine out, once no reader holds it.
    pub fn take(&self) -> Option<E> {
        self.0.write().take()
    }
}

impl<E> Deref for EngineRef<'_, E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.0
            .as_ref()
            .expect("a reference is given out while the engine is there, and keeps it there")
    }
}

/// What only the writer has. There is one writer at a time, and none where the store is read-only or closed.
#[derive(Debug)]
pub struct WriterSlot<W>(Mutex<Option<W>>);

/// The writer's own, for one call.
#[derive(Debug)]
pub struct WriterRef<'a, W>(MutexGuard<'a, Option<W>>);

impl<W> WriterSlot<W> {
    /// Holds what the writer has; none where the store is read-only.
    pub fn new(writer: Option<W>) -> Self {
        Self(Mutex::new(writer))
    }

    /// The writer's own.
    ///
    /// # Errors
    /// `Unsupported` where the store is read-only, `Closed`, and `Poisoned` where a write was cut short by a panic: what
    /// it left behind cannot be told.
    pub fn lock(&self, tip: &Tip) -> Result<WriterRef<'_, W>> {
        let writer = self.0.lock().map_err(|_| {
            let detail = "a write was cut short by a panic";
            tip.poison(detail);
            StoreError::new(ErrorKind::Poisoned, tip.backend(), detail)
        })?;
        if writer.is_some() {
            return Ok(WriterRef(writer));
        }
        tip.check_open()?;
        let detail = "write to a store that was opened read-only";
        Err(StoreError::new(
            ErrorKind::Unsupported,
            tip.backend(),
            detail,
        ))
    }

    /// Keeps the writer out while the answer lives, also where there is none.
    pub fn keep_out(&self) -> impl Sized + use<'_, W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what the writer had; none where there was no writer, or where a panic cut a write short.
    pub fn take(&self) -> Option<W> {
        self.0.lock().ok()?.take()
    }
}

impl<W> Deref for WriterRef<'_, W> {
    type Target = W;

    fn deref(&self) -> &W {
        self.0
            .as_ref()
            .expect("a reference is given out while there is a writer, and keeps it there")
    }
}

impl<W> DerefMut for WriterRef<'_, W> {
    fn deref_mut(&mut self) -> &mut W {
        self.0
            .as_mut()
            .expect("a reference is given out while there is a writer, and keeps it there")
    }
}
