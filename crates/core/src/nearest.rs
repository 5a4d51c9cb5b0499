//! The known name that a slip of the pen most likely meant.

/// Longer words get no suggestion; no name that anybody knows is that long.
const WORD_BYTES_MAX: usize = 64;

/// The candidate that differs least from `word`, when no more than a third of its letters differ.
///
/// Case is ignored; of equals the first in the alphabet is taken. O(candidates × length²), length at most 64 bytes.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let near = |name: &'a str| (distance(word, name), name);
    let (distance, name) = candidates.into_iter().filter(|name| name.len() <= WORD_BYTES_MAX).map(near).min()?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(name)
}

/// Letters that must change, appear, go or change places with the next one.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.iter().enumerate() {
        let mut row = vec![index + 1];
        for (at, to) in right.iter().enumerate() {
            let change = above[at] + usize::from(from != to);
            let mut least = change.min(above[at + 1] + 1).min(row[at] + 1);
            if index > 0 && at > 0 && left[index - 1] == *to && right[at - 1] == *from {
                least = least.min(before[at - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        assert_eq!(nearest("birthdat", ["birthDate", "gender"]), Some("birthDate"));
        assert_eq!(nearest("xyz", ["birthDate", "gender"]), None);
        assert_eq!(nearest("SUI", ["ADT", "SIU"]), Some("SIU"));
    }

    #[test]
    fn distance_counts_slips() {
        assert_eq!(distance("family", "famly"), 1);
        assert_eq!(distance("brithdate", "birthDate"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
