//! The pure core: what a pod means on a cluster, and what to do next.
//!
//! Nothing in this crate waits, reads a clock, draws a random number or talks to anybody. Everything it needs comes in
//! as a value and everything it decides goes out as one, so that each rule can be tested by a table. The dependency
//! list enforces it: there is no runtime, no client and no SSH here.
//!
//! The flow, in the order of the files: [`words`] and [`protocol`] are the language of `remote-scripts/`; [`answer`]
//! gives that language types; [`translate`] turns a pod into the directory that describes it on the cluster, after
//! [`fields`] and [`admission`] have said that it can be honoured at all. [`observed`] sums up what the cluster has told,
//! [`plan`] decides what to do next, [`renewal`] what of a pod's volumes is not as it should be any more, and [`status`]
//! and [`events`] are what the API is told about it.

pub mod admission;
pub mod affinity;
pub mod answer;
pub mod bundle;
pub mod claims;
pub mod console;
pub mod content;
pub mod deadline;
pub mod demand;
pub mod environment;
pub mod ephemeral;
pub mod events;
pub mod fields;
pub mod images;
pub mod interlink;
pub mod job;
pub mod life;
pub mod limits;
pub mod mounts;
pub mod naming;
pub mod network;
pub mod observed;
pub mod places;
pub mod plan;
pub mod policy;
pub mod protocol;
pub mod pulling;
pub mod quantity;
pub mod quoted;
pub mod renewal;
pub mod request;
pub mod security;
pub mod settings;
pub mod status;
pub mod translate;
pub mod usage;
pub mod volumes;
pub mod words;

pub use k8s_openapi;
