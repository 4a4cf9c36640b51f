//! What is allowed, and that a permit fits only what it was made for.

use crate::{Action, Decision, Denial, PERMISSIONS, Policy, decide};

fn fetch(host: &str) -> Action {
    Action::FetchModel { host: host.to_owned() }
}

#[test]
fn online_allows_and_the_permit_fits_only_its_host() {
    let decision = decide(&fetch("hub.example"), &Policy { offline: false });
    let permit = decision.into_result().unwrap();
    assert!(permit.covers_host("HUB.example"));
    assert!(!permit.covers_host("other.example"));
    assert!(!permit.covers_package("hub.example"));
    let package = Action::FetchPackage { package: "some-model".to_owned() };
    let permit = decide(&package, &Policy::default()).into_result().unwrap();
    assert!(permit.covers_package("some-model"));
    assert!(!permit.covers_package("other") && !permit.covers_host("some-model"));
}

#[test]
fn offline_denies_what_leaves_the_machine() {
    let offline = Policy { offline: true };
    let denial = decide(&fetch("hub.example"), &offline).into_result().unwrap_err();
    assert!(matches!(denial, Denial::Offline { .. }));
    assert_eq!(
        denial.to_string(),
        "fetching from hub.example is not allowed: hob was told to stay offline \
         (leave out --offline)"
    );
    let package = Action::FetchPackage { package: "p".to_owned() };
    assert!(matches!(decide(&package, &offline), Decision::Deny(_)));
    // A name that only begins like a loopback address is not one.
    assert!(matches!(decide(&fetch("127.0.0.1.example"), &offline), Decision::Deny(_)));
}

#[test]
fn offline_allows_loopback() {
    for host in ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"] {
        let decision = decide(&fetch(host), &Policy { offline: true });
        assert!(matches!(decision, Decision::Allow(_)), "{host}");
    }
}

#[test]
fn a_hob_elsewhere_is_asked_only_online_and_by_its_own_permit() {
    let ask = |host: &str| Action::AskHob { host: host.to_owned() };
    let permit = decide(&ask("box.local"), &Policy::default()).into_result().unwrap();
    assert!(permit.covers_hob("Box.local") && !permit.covers_hob("localhost"));
    assert!(!permit.covers_host("box.local"), "it fetches nothing");
    let offline = Policy { offline: true };
    let denial = decide(&ask("box.local"), &offline).into_result().unwrap_err();
    assert!(denial.to_string().starts_with("asking the hob at box.local is not"), "{denial}");
    assert!(matches!(decide(&ask("127.0.0.1"), &offline), Decision::Allow(_)));
}

#[test]
fn permissions_are_sorted_and_explained() {
    assert!(PERMISSIONS.is_sorted_by_key(|row| row.id));
    for row in PERMISSIONS {
        assert!(row.explanation.len() > 40 && !row.title.is_empty(), "{}", row.id);
    }
}
