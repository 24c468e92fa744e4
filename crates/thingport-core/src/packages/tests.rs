use super::*;

#[test]
fn only_the_first_request_of_a_download_counts() {
    let (downloads, metrics) = (Downloads::default(), Metrics::default());
    let ask = |kind, request, chunk| {
        downloads.begin(PackageRequest { kind, request, chunk, size: None }, &metrics)
    };
    let forgotten = || metrics.bounds().find(|(it, _)| *it == Bound::Downloads).map(|(_, n)| n);
    assert!(ask(PackageKind::Firmware, 1, 0));
    assert!(!ask(PackageKind::Firmware, 1, 1));
    assert!(ask(PackageKind::Software, 1, 0));
    for request in 2..=8 {
        assert!(ask(PackageKind::Firmware, request, 0));
    }
    assert_eq!(forgotten(), Some(1));
    assert!(ask(PackageKind::Firmware, 1, 2), "the oldest is forgotten");
    assert_eq!(forgotten(), Some(2));
    assert!(!ask(PackageKind::Firmware, 8, 2));
}
