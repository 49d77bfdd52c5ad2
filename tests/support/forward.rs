//! Passes the calls of a store on to another store.

/// In an `impl Store`, passes each named function on to the store in the field `$inner`. Some names stand for several
/// functions: `locks`, `sweep_drafts` and `places`. Put `#[deny(clippy::missing_trait_methods)]` on the `impl`, so that
/// no function is forgotten: a default function of the trait would not ask the inner store.
macro_rules! forward {
    ($inner:ident:) => {};
    ($inner:ident: require $($more:ident)*) => {
        fn require(&self, need: ibt::store::Need, doing: &str) -> ibt::error::Result<()> {
            self.$inner.require(need, doing)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: check_exists $($more:ident)*) => {
        fn check_exists(&mut self) -> ibt::error::Result<()> {
            self.$inner.check_exists()
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: list $($more:ident)*) => {
        fn list(&mut self, prefix: &str) -> ibt::error::Result<Vec<ibt::store::Object>> {
            self.$inner.list(prefix)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: read_at $($more:ident)*) => {
        fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> ibt::error::Result<usize> {
            self.$inner.read_at(name, offset, buf)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: create $($more:ident)*) => {
        fn create(&mut self, name: &str) -> ibt::error::Result<Box<dyn ibt::store::Draft>> {
            self.$inner.create(name)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: sync $($more:ident)*) => {
        fn sync(&mut self) -> ibt::error::Result<()> {
            self.$inner.sync()
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: delete $($more:ident)*) => {
        fn delete(&mut self, name: &str) -> ibt::error::Result<()> {
            self.$inner.delete(name)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: locks $($more:ident)*) => {
        fn watch(&mut self, cancel: &ibt::job::Cancel) {
            self.$inner.watch(cancel);
        }
        // A store that reads ahead would pass by the function `read_at` of the outer store.
        fn start_reading_ahead(&mut self, _cancel: &ibt::job::Cancel) {}
        fn read_ahead(&mut self, _name: &str, _range: std::ops::Range<u64>) -> bool {
            false
        }
        fn stop_reading_ahead(&mut self) {}
        fn has_locks(&self) -> bool {
            self.$inner.has_locks()
        }
        fn lock(&mut self, key: &str, mode: ibt::store::LockMode) -> ibt::error::Result<ibt::store::Lock> {
            self.$inner.lock(key, mode)
        }
        fn is_written_now(&mut self, key: &str) -> ibt::error::Result<bool> {
            self.$inner.is_written_now(key)
        }
        fn take_turn(&mut self, key: &str) -> ibt::error::Result<Option<Box<dyn ibt::store::Turn>>> {
            self.$inner.take_turn(key)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: sweep_drafts $($more:ident)*) => {
        fn sweep_drafts(&mut self, locked: Option<&str>) -> ibt::error::Result<Vec<String>> {
            self.$inner.sweep_drafts(locked)
        }
        fn take_left_behind(&mut self) -> Vec<(String, ibt::error::Error)> {
            self.$inner.take_left_behind()
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: links $($more:ident)*) => {
        fn not_regular(
            &mut self,
            prefix: &str,
        ) -> ibt::error::Result<Vec<(String, ibt::entry::FileType)>> {
            self.$inner.not_regular(prefix)
        }
        forward!($inner: $($more)*);
    };
    ($inner:ident: places $($more:ident)*) => {
        fn reads_cheaply(&mut self) -> ibt::error::Result<bool> {
            self.$inner.reads_cheaply()
        }

        fn directory(&mut self) -> ibt::error::Result<Option<(u64, u64)>> {
            self.$inner.directory()
        }
        fn path_of(&self, name: &str) -> Option<std::path::PathBuf> {
            self.$inner.path_of(name)
        }
        forward!($inner: $($more)*);
    };
}

pub(crate) use forward;
