use super::*;

use proptest::prelude::*;

fn round_trip(rows: &[(i64, u32, ValueRef<'_>)]) -> usize {
    let mut points = Points::default();
    rows.iter().for_each(|(at, ttl_s, value)| points.push(*at, *ttl_s, *value));
    let mut bytes = Vec::new();
    encode(&points, 0, points.len(), &mut bytes);
    let back = decode(&bytes).expect("what was written");
    let shown = |points: &Points| -> Vec<String> {
        let rows = points.items.iter();
        rows.map(|it| format!("{} {} {:?}", it.at, it.ttl_s, points.value(it))).collect()
    };
    assert_eq!(shown(&back), shown(&points));
    let expected = points.items.iter().map(Point::expires_at).max().unwrap_or(i64::MAX);
    assert_eq!(expires_at(&bytes), Some(expected));
    bytes.len()
}

#[test]
fn a_regular_series_of_short_decimals_takes_less_than_two_bytes_a_point() {
    let rows: Vec<_> = (0..512)
        .map(|i| {
            (1_700_000_000_000 + i * 10_000, 0, ValueRef::Double(20.0 + (i * 7 % 50) as f64 / 10.0))
        })
        .collect();
    assert!(round_trip(&rows) < 512);
}

#[test]
fn edges_come_back() {
    round_trip(&[]);
    round_trip(&[(i64::MIN, 0, ValueRef::Long(i64::MAX))]);
    round_trip(&[
        (i64::MIN, u32::MAX, ValueRef::Long(i64::MAX)),
        (i64::MAX, 0, ValueRef::Long(i64::MIN)),
    ]);
    round_trip(&[
        (1, 0, ValueRef::Double(-0.0)),
        (2, 5, ValueRef::Double(0.1 + 0.2)),
        (3, 0, ValueRef::String("a")),
        (4, 0, ValueRef::String("a")),
        (5, 0, ValueRef::Json("[]")),
        (6, 0, ValueRef::Bool(true)),
    ]);
}

proptest! {
    #[test]
    fn any_points_come_back(rows in prop::collection::vec((any::<i64>(), 0..3_u32, 0..5_u8, any::<i64>()), 0..200)) {
        let texts: Vec<String> = rows.iter().map(|row| (row.3 % 7).to_string()).collect();
        let rows: Vec<_> = rows.iter().zip(&texts).map(|((at, ttl, kind, number), text)| {
            let value = match kind {
                0 => ValueRef::Bool(number % 2 == 0),
                1 => ValueRef::Long(*number),
                2 => ValueRef::Double(f64::from(*number as i32) / 100.0),
                3 => ValueRef::String(text),
                _ => ValueRef::Json(text),
            };
            (*at, *ttl, value)
        }).collect();
        round_trip(&rows);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&bytes);
        let mut marked = vec![VERSION << 4 | bytes.len() as u8 & 15];
        marked.extend(bytes);
        let _ = (decode(&marked), expires_at(&marked));
    }
}
