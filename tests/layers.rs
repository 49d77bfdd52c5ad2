//! States with layers: prunes that are cut short, prunes beside backups, layers that are lost, damaged or forged, and
//! long chains of small changes.

mod support;

#[path = "layers/chains.rs"]
mod chains;
#[path = "layers/cut_short.rs"]
mod cut_short;
#[path = "layers/forged.rs"]
mod forged;
#[path = "layers/lost.rs"]
mod lost;
#[path = "layers/side_by_side.rs"]
mod side_by_side;
