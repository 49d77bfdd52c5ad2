//! The operations. Each copies the options, locks the storage, runs one function of the engine and returns
//! its report.

// The header has the functions in this order of modules; the blank line keeps rustfmt from sorting them.
mod backup;
mod restore;

mod inspect;

mod diff;

mod retain;

mod import;

pub use backup::*;
pub use diff::*;
pub use import::*;
pub use inspect::*;
pub use restore::*;
pub use retain::*;

use std::ptr;

use crate::error::{Error, Result};
use crate::job::{Job, Select};
use crate::stamp::Time;
use crate::store::Store;

use super::args::{into_raw, invalid, write_out};
use super::guard::attempt;
use super::library::ibt_status;
use super::options::{Settings, ibt_options, settings};
use super::report::ibt_report;
use super::storage::{ibt_storage, with_store};

/// The options that an operation uses. Only the options that another operation must refuse have a field here.
#[derive(Clone, Copy)]
pub(super) struct UsedOptions {
    selector: bool,
    excludes: bool,
    /// A filter, and listed paths of a source.
    choice: bool,
    /// Globs and paths.
    includes: bool,
    /// A root, and `delete_extra`.
    destination: bool,
    expected_digest: bool,
    dry_run: bool,
    labels: bool,
    label_filters: bool,
    removed: bool,
}

impl UsedOptions {
    pub(super) const NOTHING: UsedOptions = UsedOptions {
        selector: false,
        excludes: false,
        choice: false,
        includes: false,
        destination: false,
        expected_digest: false,
        dry_run: false,
        labels: false,
        label_filters: false,
        removed: false,
    };
    pub(super) const BACKUP: UsedOptions =
        UsedOptions { excludes: true, choice: true, dry_run: true, labels: true, ..UsedOptions::NOTHING };
    pub(super) const IMPORT: UsedOptions = UsedOptions { labels: true, ..UsedOptions::NOTHING };
    pub(super) const RESTORE: UsedOptions = UsedOptions {
        selector: true,
        excludes: true,
        includes: true,
        destination: true,
        expected_digest: true,
        dry_run: true,
        label_filters: true,
        ..UsedOptions::NOTHING
    };
    pub(super) const LIST: UsedOptions =
        UsedOptions { selector: true, label_filters: true, ..UsedOptions::NOTHING };
    pub(super) const BROWSE: UsedOptions =
        UsedOptions { selector: true, expected_digest: true, label_filters: true, ..UsedOptions::NOTHING };

    pub(super) const VERIFY: UsedOptions =
        UsedOptions { selector: true, expected_digest: true, ..UsedOptions::NOTHING };
    pub(super) const PRUNE: UsedOptions = UsedOptions {
        selector: true,
        dry_run: true,
        label_filters: true,
        removed: true,
        ..UsedOptions::NOTHING
    };

    pub(super) const COMPARE: UsedOptions = UsedOptions {
        selector: true,
        excludes: true,
        includes: true,
        expected_digest: true,
        label_filters: true,
        ..UsedOptions::NOTHING
    };

    pub(super) const DIFF: UsedOptions =
        UsedOptions { excludes: true, includes: true, ..UsedOptions::NOTHING };

    pub(super) fn check(&self, settings: &Settings, doing: &str) -> Result<()> {
        let given = &settings.engine;
        let filters = !given.includes.is_empty() || !given.paths.is_empty();
        let useless = [
            ("a snapshot", !self.selector && given.select != Select::Newest),
            ("an exclude pattern", !self.excludes && !given.excludes.is_empty()),
            ("a filter", !self.choice && settings.callbacks.filter.is_some()),
            ("a path of a source", !self.choice && !given.source_paths.is_empty()),
            ("an include glob or path", !self.includes && filters),
            ("a root", !self.destination && !given.root.is_root()),
            ("delete_extra", !self.destination && given.delete_extra),
            ("an expected digest", !self.expected_digest && given.expected_digest.is_some()),
            ("dry_run", !self.dry_run && given.dry_run),
            ("a label", !self.labels && !given.labels.is_empty()),
            ("a snapshot to remove", !self.removed && !given.removed.is_empty()),
            ("a label filter", !self.label_filters && !given.label_filters.is_empty()),
        ];
        match useless.iter().find(|(_, refused)| *refused) {
            Some((what, _)) => Err(invalid(doing, format!("the options set {what}, which has no use here"))),
            None => Ok(()),
        }
    }
}

/// The arguments that every operation has.
struct OperationArgs {
    /// For messages: "cannot DOING".
    doing: &'static str,
    storage: *mut ibt_storage,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
}

impl OperationArgs {
    /// Sets `*report` to NULL. [`OperationArgs::run`] sets it again only if it has something to report.
    ///
    /// # Safety
    ///
    /// Until [`OperationArgs::run`] returns, `storage` is NULL or a storage of the caller, `options` is NULL or
    /// options that no setter changes, and `report` is NULL or may be written. During `run`, callbacks may
    /// free the storage and the options.
    unsafe fn begin(
        doing: &'static str,
        storage: *mut ibt_storage,
        options: *const ibt_options,
        report: *mut *mut ibt_report,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe { write_out(report, ptr::null_mut()) };
        OperationArgs { doing, storage, options, report }
    }

    /// Runs `work` and returns its report, whether `work` succeeds or fails.
    fn run(
        self,
        uses: UsedOptions,
        work: impl FnOnce(&mut dyn Store, &mut Job<'_>) -> Result<()>,
    ) -> Result<ibt_status> {
        let settings = self.settings(uses)?;
        // SAFETY: promised to `begin`. The call holds a share of the storage of its own.
        unsafe {
            with_store(self.storage, self.doing, &settings.cancel, |store| {
                self.report(&settings, |job| work(store, job))
            })
        }
    }

    /// Like [`OperationArgs::run`], for work that uses no storage.
    fn run_alone(
        self,
        uses: UsedOptions,
        work: impl FnOnce(&mut Job<'_>) -> Result<()>,
    ) -> Result<ibt_status> {
        let settings = self.settings(uses)?;
        self.report(&settings, work)
    }

    /// A copy of the options, which are not read again.
    fn settings(&self, uses: UsedOptions) -> Result<Settings> {
        // SAFETY: promised to `begin`.
        let settings = unsafe { settings(self.options, self.doing) }?;
        uses.check(&settings, self.doing)?;
        match settings.cancel.requested() {
            true => Err(Error::cancelled()),
            false => Ok(settings),
        }
    }

    fn report(
        &self,
        settings: &Settings,
        work: impl FnOnce(&mut Job<'_>) -> Result<()>,
    ) -> Result<ibt_status> {
        let mut callbacks = settings.callbacks.clone();
        let mut job = Job::new(&settings.engine, &settings.cancel, &mut callbacks);
        job.report.date = Time::now();
        // A panic is caught here, so that the report of a panicked operation still lists the work that was done.
        let outcome = attempt(|| work(&mut job)).and_then(|result| result);
        job.report.failed = outcome.as_ref().err().cloned();
        let status = job.report.status();
        if !self.report.is_null() {
            // SAFETY: promised to `begin`.
            unsafe { write_out(self.report, into_raw(ibt_report::new(job.report))) };
        }
        outcome.map(|()| status)
    }
}
