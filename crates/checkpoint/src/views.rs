//! Where each element of a tensor lies in another: nested loops over one buffer.

use crate::error::Told;

/// `count` steps of `stride` elements, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) start: usize,
    pub(crate) loops: Vec<(usize, usize)>,
}

impl View {
    /// Elements one after the other.
    pub(crate) fn whole(len: usize) -> View {
        View { start: 0, loops: vec![(len, 1)] }
    }

    pub(crate) fn new(start: usize, loops: &[(usize, usize)]) -> View {
        View { start, loops: loops.to_vec() }
    }

    /// The same elements in as few loops as tell them.
    pub(crate) fn joined(&self) -> View {
        let mut loops: Vec<(usize, usize)> = Vec::new();
        for (count, stride) in self.loops.iter().copied().filter(|(count, _)| *count != 1) {
            match loops.last_mut() {
                Some(outer) if outer.1 == count * stride => *outer = (outer.0 * count, stride),
                _ => loops.push((count, stride)),
            }
        }
        if loops.is_empty() {
            loops.push((1, 1));
        }
        View { start: self.start, loops }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.loops.iter().map(|(count, _)| count).product()
    }

    /// That all lie within `len` elements.
    pub(crate) fn check(&self, len: usize) -> Told<()> {
        let last = self.loops.iter().try_fold(self.start, |at, (count, stride)| {
            at.checked_add(count.checked_sub(1)?.checked_mul(*stride)?)
        });
        match last {
            Some(last) if last < len => Ok(()),
            _ => Err("its shape does not fit what config.json says".to_owned()),
        }
    }

    /// The same in blocks of so many elements; none where one is not moved as a whole.
    pub(crate) fn in_blocks(&self, block: usize) -> Option<View> {
        let whole = |elements: usize| elements.is_multiple_of(block).then(|| elements / block);
        let (&(count, 1), outer) = self.loops.split_last()? else { return None };
        let mut loops = Vec::with_capacity(self.loops.len());
        for (count, stride) in outer {
            loops.push((*count, whole(*stride)?));
        }
        loops.push((whole(count)?, 1));
        Some(View { start: whole(self.start)?, loops })
    }

    /// Appends the elements, each of `width` bytes.
    ///
    /// # Panics
    /// When they do not lie within the bytes, which [`View::check`] finds out.
    pub(crate) fn gather(&self, bytes: &[u8], width: usize, out: &mut Vec<u8>) {
        step(&self.loops, (bytes, width), self.start, out);
    }
}

fn step(loops: &[(usize, usize)], from: (&[u8], usize), start: usize, out: &mut Vec<u8>) {
    let (bytes, width) = from;
    match loops {
        [] => out.extend_from_slice(&bytes[start * width..][..width]),
        [(count, 1)] => out.extend_from_slice(&bytes[start * width..][..count * width]),
        [(count, stride), inner @ ..] => {
            for i in 0..*count {
                step(inner, from, start + i * stride, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    fn check(view: &View, expected: &[u8]) {
        let bytes: Vec<u8> = (0..12).collect();
        for view in [view.clone(), view.joined()] {
            let mut out = Vec::new();
            view.gather(&bytes, 1, &mut out);
            assert_eq!(out, expected, "{view:?}");
            assert_eq!(view.len(), expected.len());
        }
    }

    #[test]
    fn elements_come_in_the_order_of_the_loops() {
        check(&View::new(0, &[(3, 4), (4, 1)]), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        check(&View::new(0, &[(4, 1), (3, 4)]), &[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        check(&View::new(1, &[(2, 4), (2, 2), (1, 9)]), &[1, 3, 5, 7]);
        assert_eq!(View::new(0, &[(3, 4), (4, 1)]).joined(), View::whole(12));
    }

    #[test]
    fn blocks_are_moved_as_wholes_or_not_at_all() {
        let turned = View::new(4, &[(2, 8), (4, 1)]);
        assert_eq!(turned.in_blocks(4), Some(View::new(1, &[(2, 2), (1, 1)])));
        for view in [
            View::new(2, &[(2, 8), (4, 1)]),
            View::new(4, &[(2, 6), (4, 1)]),
            View::new(4, &[(2, 8), (2, 1)]),
            View::new(0, &[(4, 1), (2, 4)]),
        ] {
            assert_eq!(view.in_blocks(4), None, "{view:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_refused() {
        assert!(View::whole(12).check(12).is_ok());
        assert!(View::whole(13).check(12).is_err());
        assert!(View::new(1, &[(3, 4), (4, 1)]).check(12).is_err());
        assert!(View::new(usize::MAX, &[(2, 1)]).check(12).is_err());
        assert!(View::new(0, &[(2, usize::MAX), (3, 1)]).check(12).is_err());
        assert!(View::new(0, &[(0, 1)]).check(12).is_err());
    }
}
