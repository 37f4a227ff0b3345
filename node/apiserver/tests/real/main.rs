//! Against a real API server with the Node authorizer and NodeRestriction.
//!
//! `KUBECONFIG` is an administrator's, `TESTBED_BOOTSTRAP_KUBECONFIG` holds a bootstrap token whose requests the cluster
//! approves. Every test has its own node names and namespaces and removes them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod cluster;
mod identity;
mod node;
mod outage;
mod pods;
