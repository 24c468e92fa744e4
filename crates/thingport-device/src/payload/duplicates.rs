//! Which members of an object repeat an earlier name (JS-002: the last wins at the position of the
//! first).

/// Calls `repeat(first, later)` for every member whose name already stood at `first`, in an order in
/// which the last call for a `first` is its last repetition.
///
/// `name(i)` gives the name of member `i` of `count`. Few members are compared with each other, many
/// are sorted in `order`: no hashing, so no choice of names makes it slow.
pub(crate) fn repeats<'a>(
    count: usize,
    name: impl Fn(usize) -> &'a str,
    order: &mut Vec<u32>,
    mut repeat: impl FnMut(usize, usize),
) {
    if count > FEW {
        return repeats_of_many(count, name, order, repeat);
    }
    for later in 1..count {
        let this = name(later);
        if let Some(first) = (0..later).find(|first| name(*first) == this) {
            repeat(first, later);
        }
    }
}

fn repeats_of_many<'a>(
    count: usize,
    name: impl Fn(usize) -> &'a str,
    order: &mut Vec<u32>,
    mut repeat: impl FnMut(usize, usize),
) {
    order.clear();
    order.extend(0..u32::try_from(count).unwrap_or(u32::MAX));
    order.sort_unstable_by(|a, b| name(*a as usize).cmp(name(*b as usize)).then(a.cmp(b)));
    let is_same = |a: &u32, b: &u32| name(*a as usize) == name(*b as usize);
    for same in order.chunk_by(is_same) {
        if let [first, laters @ ..] = same {
            laters.iter().for_each(|later| repeat(*first as usize, *later as usize));
        }
    }
}

/// Up to so many members comparing all pairs is quicker than sorting.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_members_find_the_same_repeats() {
        for count in [0, 1, 5, FEW, FEW + 1, 300] {
            let names: Vec<String> = (0..count).map(|i| format!("k{}", i * 7 % 5)).collect();
            let mut found = Vec::new();
            repeats(
                count,
                |i| &names[i],
                &mut Vec::new(),
                |first, later| {
                    found.push((first, later));
                },
            );
            let mut expected = Vec::new();
            for later in 0..count {
                let first = names.iter().position(|name| *name == names[later]).unwrap();
                if first != later {
                    expected.push((first, later));
                }
            }
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{count}");
        }
    }
}
