//! The whole life of a store in a random order: backups, pruning, consolidation, lost caches, damaged archives. A model
//! keeps track of the snapshots, and of the files that damage may have lost. After each step all other files must
//! restore exactly, and lost files must be listed.

#[cfg(feature = "object-store")]
#[path = "support/bucket.rs"]
mod bucket;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::job::{
    Cancel, Codec, Counter, DeltaMode, Flow, Keep, Labels, Observer, Options, ProblemKind, Report, Select,
};
use ibt::stamp::Stamp;
use ibt::text::decode_name;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::series::remove;
use support::*;

#[derive(Clone, Debug)]
enum Step {
    Edit(Vec<Edit>),
    Full,
    /// A full that publishes partial states and is cancelled at its change of this number.
    CancelledFull(u32),
    Increment,
    /// An increment with the option heal.
    Heal,
    /// Gives the next backups this label.
    Label(u8),
    /// The next backups store archives in parts of at most this size; 0 for archives in one file.
    PartSize(u64),
    /// The next backups make deltas in this way.
    Deltas(DeltaMode),
    /// Prunes to this many of the newest snapshots.
    KeepLast(u32),
    PruneOne(Which),
    Consolidate,
    RebuildCache,
    LoseCache,
    /// Switches to another cache: the cache that was used before this one, or an empty one.
    SwapCaches,
    Damage(Index, Harm),
}

#[derive(Clone, Copy, Debug)]
enum Which {
    First,
    Middle,
    Latest,
}

/// A way to damage an archive.
#[derive(Clone, Debug)]
enum Harm {
    /// Changes this many bytes from a position on. The archive keeps its size, so the size does not show the damage.
    Flip(Index, usize),
    Cut(Index),
    Delete,
}

/// The damage of an archive, in ascending order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Broken {
    Flipped,
    Cut,
    Deleted,
}

fn harms() -> impl Strategy<Value = Harm> {
    prop_oneof![
        2 => (any::<Index>(), select(vec![1usize, 8, 3000])).prop_map(|(at, len)| Harm::Flip(at, len)),
        1 => any::<Index>().prop_map(Harm::Cut),
        1 => Just(Harm::Delete),
    ]
}

fn part_sizes() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 2 => 2000u64..100_000]
}

fn steps(damage: u32) -> impl Strategy<Value = Vec<Step>> {
    let which = select(vec![Which::First, Which::Middle, Which::Latest]);
    let steady = prop_oneof![
        6 => edits(5).prop_map(Step::Edit),
        7 => Just(Step::Increment),
        2 => Just(Step::Heal),
        1 => (0u8..3).prop_map(Step::Label),
        2 => part_sizes().prop_map(Step::PartSize),
        1 => select(vec![DeltaMode::Signatures, DeltaMode::Contents]).prop_map(Step::Deltas),
        1 => Just(Step::Full),
        2 => (2u32..12).prop_map(Step::CancelledFull),
        1 => (1u32..4).prop_map(Step::KeepLast),
        2 => which.prop_map(Step::PruneOne),
        2 => Just(Step::Consolidate),
        1 => Just(Step::RebuildCache),
        1 => Just(Step::LoseCache),
        1 => Just(Step::SwapCaches),
    ];
    let harm = (any::<Index>(), harms()).prop_map(|(which, harm)| Step::Damage(which, harm));
    vec(prop_oneof![24 => steady, damage => harm], 6..13)
}

/// The facts that the model knows about a snapshot.
struct ModelSnapshot {
    stamp: Stamp,
    kept: Rc<Kept>,
    /// The archives that the snapshot's state names. Here and below, each part of an archive counts as an archive.
    archives: BTreeSet<String>,
    labels: Labels,
    /// The archives that hold the content of each path.
    needs: BTreeMap<Vec<u8>, BTreeSet<String>>,
    /// The archives without which no content of the path can be made: like `needs`, but if the content is a whole copy
    /// with deltas, only the archives of the deltas. A delta may leave out every byte of the copy that an archive has,
    /// for example those behind a new end.
    surely_needs: BTreeMap<Vec<u8>, BTreeSet<String>>,
}

struct StoreModel {
    series: Series,
    snaps: Vec<ModelSnapshot>,
    broken: BTreeMap<String, Broken>,
    /// Archives that a partial state named since the last prune. The store may have them without a snapshot.
    loose: BTreeSet<String>,
}

impl StoreModel {
    /// Makes a first full backup. With `aged`, the tree is old enough for the backup to believe that files are
    /// unchanged without reading them.
    fn new(mut series: Series, codec: Codec, tree: &Tree, aged: bool) -> StoreModel {
        series.options.codec = codec;
        series.options.allow_empty = true;
        tree.make(&series.source);
        if aged {
            std::thread::sleep(Duration::from_millis(2100));
            // Files as new as the newest file are read, so this one is newer than the tree.
            series.write("newest of all", "now");
        }
        let mut life =
            StoreModel { series, snaps: Vec::new(), broken: BTreeMap::new(), loose: BTreeSet::new() };
        life.full();
        life.check();
        life
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Edit(edits) => return edits.iter().for_each(|edit| edit.apply(&self.series.source)),
            Step::Full => self.full(),
            Step::CancelledFull(at) => self.cancelled_full(*at),
            Step::Increment => self.increment(),
            Step::Heal => self.increment_that_heals(),
            Step::Label(value) => {
                self.series.options.labels = Labels::from([("label".to_string(), value.to_string())]);
                return;
            }
            Step::PartSize(size) => {
                self.series.options.part_size = *size;
                return;
            }
            Step::Deltas(mode) => {
                self.series.options.delta = *mode;
                return;
            }
            Step::KeepLast(last) => self.keep_last(*last),
            Step::PruneOne(which) => self.prune_one(*which),
            Step::Consolidate => self.consolidate(),
            Step::RebuildCache => self.rebuild_cache(),
            Step::LoseCache => drop(fs::remove_dir_all(self.series.cache())),
            Step::SwapCaches => self.swap_caches(),
            Step::Damage(which, harm) => self.damage(which, harm),
        }
        self.check();
    }

    fn full(&mut self) {
        let goes_on = !self.partials().is_empty();
        let report = self.without_rot(|series| series.full()).whole();
        self.made_from_source(&report);
        if !goes_on {
            self.assert_newest_stands_alone();
        }
    }

    /// Runs a full. It compares the digests of the archives that it takes over only where the store is cheap to read.
    /// Elsewhere it would take over damaged contents, so it begins from zero.
    fn without_rot(&self, full: impl FnOnce(&Series) -> Outcome) -> Outcome {
        if self.broken.is_empty() || !self.series.is_remote() {
            return full(&self.series);
        }
        let options = Options { checkpoint: 0, ..self.series.options.clone() };
        self.series.silently(&options, |store, job| ibt::backup::full(store, &self.series.source, job))
    }

    fn cancelled_full(&mut self, at: u32) {
        let options = Options { checkpoint: 1, ..self.series.options.clone() };
        let run = |series: &Series| {
            series.run(&options, &Cancel::default(), &mut CancelAtChange(at), |store, job| {
                ibt::backup::full(store, &series.source, job)
            })
        };
        let outcome = self.without_rot(run);
        self.loose.extend(self.partials().iter().flat_map(|(_, document)| stored::archive_names(document)));
        match outcome.result {
            Ok(()) => self.made_from_source(&outcome.report),
            Err(error) => assert_eq!(error.kind, Kind::Cancelled, "{error}"),
        }
    }

    /// The partial states in the store, with their documents.
    fn partials(&self) -> Vec<(String, serde_json::Value)> {
        let names = self.series.stored().into_keys().filter(|name| name.contains(".partial."));
        let document = |name: &String| stored::named_document(name, &self.series.object(name));
        names.map(|name| (name.clone(), document(&name))).collect()
    }

    fn increment(&mut self) {
        let Some(newest) = self.snaps.last() else {
            self.series.incremental().refused(Kind::NotFound);
            return;
        };
        let worst = |archive: &String| self.broken.get(archive).copied();
        let outcome = self.series.incremental();
        if !newest.archives.iter().any(|archive| worst(archive).is_some()) {
            let report = outcome.whole();
            return self.made_from_source(&report);
        }
        let contents: BTreeSet<_> = newest.needs.values().flatten().collect();
        let must_tell = contents.into_iter().any(|archive| worst(archive) > Some(Broken::Flipped));
        let report = outcome.ok();
        assert!(report.is_partial() || !must_tell, "the loss of an archive is not told");
        self.made_from_source(&report);
        let newest = self.snaps.last().unwrap();
        // An archive in parts is named if other parts of it are needed.
        let parts: BTreeSet<_> = newest.archives.iter().filter(|name| self.is_part(name)).collect();
        let names_lost = |name: &&String| self.broken.get(*name) > Some(&Broken::Flipped);
        let needed = newest.needs.values().flatten();
        let lost: Vec<_> = newest
            .archives
            .iter()
            .filter(|name| !parts.contains(name))
            .chain(needed)
            .filter(names_lost)
            .collect();
        assert!(lost.is_empty(), "an increment names what it could see to be lost: {lost:?}");
    }

    /// Whatever is damaged, the new snapshot is whole, and the next one finds nothing to heal.
    fn increment_that_heals(&mut self) {
        let heal = |series: &Series| {
            let options = Options { heal: true, ..series.options.clone() };
            series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job))
        };
        if self.snaps.is_empty() {
            heal(&self.series).refused(Kind::NotFound);
            return;
        }
        for again in [false, true] {
            let report = heal(&self.series).ok();
            assert!(!again || report.counters.get(Counter::Healed) == 0, "{:?}", report.problems);
            self.made_from_source(&report);
            let select = Select::Exactly(report.snapshot.unwrap());
            let verified = self.series.verify(&self.series.selecting(select)).whole();
            assert!(verified.problems.iter().all(|problem| problem.kind == ProblemKind::Unneeded));
            self.series.assert_newest_is_the_source();
        }
    }

    fn consolidate(&mut self) {
        let outcome = self.series.consolidate();
        let Some(newest) = self.snaps.last() else {
            outcome.refused(Kind::NotFound);
            return;
        };
        if let Err(error) = &outcome.result {
            assert!(matches!(error.kind, Kind::Corrupt | Kind::Missing), "{error}");
            assert!(!self.lost(newest, Broken::Flipped).is_empty(), "nothing it needs is damaged: {error}");
            return;
        }
        assert!(self.surely_lost(newest).is_empty(), "made of what is not there");
        let report = outcome.whole();
        if report.snapshot != Some(newest.stamp) {
            let (kept, labels) = (newest.kept.clone(), newest.labels.clone());
            self.made(&report, kept, labels);
            self.assert_newest_stands_alone();
        }
    }

    fn rebuild_cache(&mut self) {
        let outcome = self.series.rebuild_cache();
        let Some(newest) = self.snaps.last() else {
            outcome.refused(Kind::NotFound);
            return;
        };
        if newest.archives.iter().any(|archive| self.broken.contains_key(archive)) {
            outcome.ok();
        } else {
            outcome.whole();
        }
    }

    fn keep_last(&mut self, last: u32) {
        if !self.snaps.is_empty() {
            let options = self.series.keeping(Keep { last, ..Keep::default() });
            self.prune(&options);
            let gone = self.snaps.len().saturating_sub(last as usize);
            self.snaps.drain(..gone);
        }
    }

    fn prune_one(&mut self, which: Which) {
        if self.snaps.is_empty() {
            return;
        }
        let at = match which {
            Which::First => 0,
            Which::Middle => self.snaps.len() / 2,
            Which::Latest => self.snaps.len() - 1,
        };
        let options = self.series.selecting(Select::Exactly(self.snaps[at].stamp));
        self.prune(&options);
        self.snaps.remove(at);
    }

    fn prune(&mut self, options: &Options) {
        self.series.prune(options).whole();
        self.loose =
            self.partials().iter().flat_map(|(_, document)| stored::archive_names(document)).collect();
    }

    fn swap_caches(&self) {
        let (now, other, aside) = (self.series.cache(), self.series.beside("c2"), self.series.beside("c3"));
        for (from, to) in [(&now, &aside), (&other, &now), (&aside, &other)] {
            let _ = fs::rename(from, to);
        }
    }

    fn damage(&mut self, which: &Index, harm: &Harm) {
        let mut archives: Vec<_> = self.series.stored().into_iter().collect();
        // Only archives are damaged. If a mark were lost, the removed snapshot would be a snapshot again.
        archives.retain(|(name, size)| name.contains(".tar") && *size > 0);
        if archives.is_empty() {
            return;
        }
        let name = which.get(&archives).0.clone();
        let mut bytes = self.series.object(&name);
        let broken = match harm {
            Harm::Flip(at, len) => {
                let at = at.index(bytes.len());
                bytes[at..].iter_mut().take(*len).for_each(|byte| *byte ^= 0x55);
                Broken::Flipped
            }
            Harm::Cut(at) => {
                bytes.truncate(at.index(bytes.len()));
                Broken::Cut
            }
            Harm::Delete => Broken::Deleted,
        };
        self.series.replace(&name, (broken != Broken::Deleted).then_some(&bytes));
        let worst = self.broken.entry(name).or_insert(broken);
        *worst = broken.max(*worst);
    }

    fn made_from_source(&mut self, report: &Report) {
        let stamp = report.snapshot.expect("a backup reports its snapshot");
        let copy = self.series.beside(&format!("kept-{stamp}"));
        let kept = Rc::new(Kept::new(&self.series.source, &copy));
        let labels = self.series.options.labels.clone();
        self.made(report, kept, labels);
    }

    /// Adds a snapshot that must restore as `kept`. Reads the archives that the snapshot needs from its state,
    /// without the library.
    fn made(&mut self, report: &Report, kept: Rc<Kept>, labels: Labels) {
        let stamp = report.snapshot.expect("the snapshot made");
        assert!(self.snaps.last().is_none_or(|newest| newest.stamp < stamp));
        let state = stored::parse(&self.series.newest("state"));
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
        assert_eq!(text(&state["snapshot"]), stamp.to_string());
        let files = state["archives"].as_array().unwrap().iter().flat_map(stored::files);
        let archives = files.map(|file| text(&file["name"])).collect();
        let (mut needs, mut surely_needs) = (BTreeMap::new(), BTreeMap::new());
        for entry in state["entries"].as_array().unwrap() {
            let path = decode_name(&text(&entry["path"])).unwrap();
            let ranges = entry["at"]["content"].as_array().map_or(&[][..], |ranges| ranges);
            let files = |ranges: &[serde_json::Value]| {
                ranges.iter().flat_map(|range| stored::files_of(&state, range)).collect::<BTreeSet<_>>()
            };
            let surely = if ranges.len() > 1 { &ranges[1..] } else { ranges };
            surely_needs.insert(path.clone(), files(surely));
            needs.insert(path, files(ranges));
        }
        self.snaps.push(ModelSnapshot { stamp, kept, archives, labels, needs, surely_needs });
    }

    /// True if the file is one of several parts of an archive that a snapshot names.
    fn is_part(&self, name: &str) -> bool {
        let end = name.rfind(".tar").map_or("", |at| &name[at..]);
        let second = format!("{name}.00002");
        !(end == ".tar" || end == ".tar.zst") || self.snaps.iter().any(|snap| snap.archives.contains(&second))
    }

    #[track_caller]
    fn assert_newest_stands_alone(&self) {
        let newest = self.snaps.last().unwrap();
        let stamp = newest.stamp.to_string();
        assert!(newest.archives.iter().all(|name| name.contains(&stamp)), "{:?}", newest.archives);
    }

    /// The paths of a snapshot whose content may lie in an archive with at least this damage.
    fn lost(&self, snap: &ModelSnapshot, broken: Broken) -> BTreeSet<Vec<u8>> {
        self.affected(&snap.needs, broken)
    }

    /// The paths of a snapshot whose content cannot be made without an archive that was deleted.
    fn surely_lost(&self, snap: &ModelSnapshot) -> BTreeSet<Vec<u8>> {
        self.affected(&snap.surely_needs, Broken::Deleted)
    }

    /// The paths of which an archive has at least this damage.
    fn affected(&self, needs: &BTreeMap<Vec<u8>, BTreeSet<String>>, broken: Broken) -> BTreeSet<Vec<u8>> {
        let is_broken = |archive: &String| self.broken.get(archive) >= Some(&broken);
        let affected = needs.iter().filter(|(_, archives)| archives.iter().any(is_broken));
        affected.map(|(path, _)| path.clone()).collect()
    }

    fn check(&self) {
        self.check_list();
        self.check_files();
        self.snaps.iter().for_each(|snap| self.check_restore(snap));
    }

    fn check_list(&self) {
        let listed = self.series.list();
        if self.snaps.is_empty() {
            listed.refused(Kind::NotFound);
            return;
        }
        // An archive that is missing or has another size is listed once for each snapshot that names it.
        let is_lost = |name: &&String| self.broken.get(*name) > Some(&Broken::Flipped);
        let lost_of = |snap: &ModelSnapshot| {
            let lost = snap.archives.iter().filter(is_lost);
            lost.map(|name| (Some(snap.stamp), Some(name.clone()))).collect::<Vec<_>>()
        };
        let lost: BTreeSet<_> = self.snaps.iter().flat_map(lost_of).collect();
        let report = if lost.is_empty() { listed.whole() } else { listed.partial() };
        let (notes, problems): (Vec<_>, Vec<_>) =
            report.problems.iter().partition(|problem| problem.kind == ProblemKind::Leftover);
        let told = problems.into_iter().map(|problem| (problem.snapshot, problem.file.clone()));
        assert_eq!(told.collect::<BTreeSet<_>>(), lost);
        // A full that was cancelled leaves archives without a state.
        for note in notes {
            assert!(note.file.as_ref().is_some_and(|file| self.loose.contains(file)), "{note:?}");
        }
        let listed = report.snapshots.iter().map(|snapshot| (snapshot.stamp, &snapshot.labels));
        let expected = self.snaps.iter().map(|snap| (snap.stamp, &snap.labels));
        assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    /// The store holds exactly the archives that snapshots name, without the deleted ones, and the states that the
    /// snapshots need. The state of a removed snapshot has a mark. It may also have archives that partial states name,
    /// or named since the last prune.
    fn check_files(&self) {
        let is_state = |name: &String| name.contains(".state.");
        let is_mark = |name: &String| name.contains(".retired.");
        let files = self.series.stored().into_keys().filter(|name| !name.contains(".partial."));
        let (marks, others): (BTreeSet<_>, BTreeSet<_>) = files.partition(is_mark);
        let (states, archives): (BTreeSet<_>, BTreeSet<_>) = others.into_iter().partition(is_state);
        let of_snap =
            |snap: &ModelSnapshot| states.iter().find(|name| name.contains(&snap.stamp.to_string()));
        let newest = (!states.is_empty()).then(|| self.series.newest("state"));
        let needed = self.snaps.iter().flat_map(|snap| {
            let state = of_snap(snap).expect("the state of a snapshot");
            stored::state_files(&newest.as_ref().unwrap().with_file_name(state))
        });
        let needed: BTreeSet<_> =
            needed.map(|file| file.file_name().unwrap().to_str().unwrap().to_string()).collect();
        assert_eq!(states, needed);
        assert_eq!(states.len(), self.snaps.len() + marks.len());
        let named = self.snaps.iter().flat_map(|snap| &snap.archives).cloned();
        let deleted = |name: &String| self.broken.get(name) == Some(&Broken::Deleted);
        let named: BTreeSet<_> = named.filter(|name| !deleted(name)).collect();
        let more: Vec<_> = archives.difference(&named).filter(|name| !self.loose.contains(*name)).collect();
        assert!(archives.is_superset(&named) && more.is_empty(), "{archives:?} and not {named:?}");
    }

    fn check_restore(&self, snap: &ModelSnapshot) {
        let dest = self.series.beside("restored");
        let outcome = self.series.restore(Select::Exactly(snap.stamp), &dest);
        let may = self.lost(snap, Broken::Flipped);
        if may.is_empty() {
            outcome.whole();
            snap.kept.assert_is(&dest);
        } else {
            let report = outcome.ok();
            let lost = told_lost(&report);
            assert_eq!(report.is_partial(), !lost.is_empty());
            assert!(lost.is_subset(&may), "files that need no damaged archive: {:?}", names(&lost - &may));
            let must = self.surely_lost(snap);
            assert!(must.is_subset(&lost), "restored out of nothing: {:?}", names(&must - &lost));
            let mut wanted = snap.kept.facts.clone();
            wanted.retain(|path, _| !lost.contains(path));
            assert_same_facts(&wanted, &facts(&dest));
        }
        remove(&dest);
    }

    /// After any damage, a full backup makes the series whole, and increments work again.
    fn heal(&mut self, last: &[Edit]) {
        self.full();
        self.check();
        last.iter().for_each(|edit| edit.apply(&self.series.source));
        self.increment();
        let newest = self.snaps.last().unwrap();
        assert!(self.lost(newest, Broken::Flipped).is_empty());
        self.check();
        // Pruning removes the damaged archives with the snapshots that needed them.
        self.keep_last(2);
        self.check();
        assert!(self.series.stored().keys().all(|name| !self.broken.contains_key(name)));
    }
}

/// Cancels at the change of this number.
struct CancelAtChange(u32);

impl Observer for CancelAtChange {
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Flow::Cancel } else { Flow::Continue }
    }
}

/// The paths that a report lists as lost.
fn told_lost(report: &Report) -> BTreeSet<Vec<u8>> {
    let problems = report.problems.iter();
    problems
        .map(|problem| {
            assert!(matches!(problem.kind, ProblemKind::Damaged | ProblemKind::Missing), "{problem:?}");
            problem.path.clone().expect("the path of what is lost")
        })
        .collect()
}

fn names(paths: BTreeSet<Vec<u8>>) -> Vec<String> {
    paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![3 => Just(Codec::Zstd(1)), 1 => Just(Codec::None)]
}

fn aged() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.25)
}

fn live(
    mut series: Series,
    (codec, part_size): (Codec, u64),
    tree: &Tree,
    aged: bool,
    steps: &[Step],
    last: &[Edit],
) {
    series.options.part_size = part_size;
    let mut life = StoreModel::new(series, codec, tree, aged);
    steps.iter().for_each(|step| life.step(step));
    life.heal(last);
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn whatever_happens_to_a_directory_the_model_holds(
        codec in codecs(), part_size in part_sizes(), aged in aged(), tree in trees(12), steps in steps(6),
        last in edits(5),
    ) {
        live(Series::new(), (codec, part_size), &tree, aged, &steps, &last);
    }

    #[test]
    fn whatever_is_done_with_a_store_of_callbacks_the_model_holds(
        codec in codecs(), part_size in part_sizes(), aged in aged(), tree in trees(12), steps in steps(2),
        last in edits(5),
    ) {
        live(Series::over(Memory::default()), (codec, part_size), &tree, aged, &steps, &last);
    }
}

/// Each case has a prefix of its own in the bucket.
#[cfg(feature = "object-store")]
#[test]
fn whatever_is_done_with_a_store_in_a_bucket_the_model_holds() {
    bucket::BucketServer::with_url(|bucket| {
        let number = std::cell::Cell::new(0);
        proptest!(cases(2), |(
            codec in codecs(), part_size in part_sizes(), aged in aged(), tree in trees(12), steps in steps(2),
            last in edits(5),
        )| {
            let url = format!("{bucket}/case-{}", number.replace(number.get() + 1));
            let series = Series::opening(move || ibt::store::object::open_url(&url).unwrap());
            live(series, (codec, part_size), &tree, aged, &steps, &last);
        });
    });
}
