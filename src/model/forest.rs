//! [`IsolationForest`]: how few random cuts set a row apart. Knows neither features nor thresholds.
//!
//! Read first: Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008), algorithms 1 to 3 and equations 1 and 2. One
//! departure, as in other implementations: an attribute to cut is chosen among those that differ within the node.
//!
//! A row far outside of what the forest was built from ends in the same leaf as the outermost row inside: its score
//! cannot tell a little too much from a thousand times too much. `extremes` can.

use ndarray::ArrayView2;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};

use crate::baseline::{count, narrow};

/// Trees in one array of eight-byte nodes; at most [`IsolationForest::MAX_TREES`] times twice the subsample.
#[derive(Clone, Debug, PartialEq)]
pub struct IsolationForest {
    nodes: Vec<Node>,
    /// Where each tree begins in `nodes`, rising; its end is the next one's beginning.
    trees: Vec<usize>,
    /// c(psi), the mean path length that scores are measured against.
    expected: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    /// Attribute that is cut, or [`LEAF`].
    attribute: u16,
    /// The left child, counted from the tree's beginning; the right one follows it.
    left: u16,
    /// Where it is cut: smaller values go left. In a leaf: the path length h(x) with its correction.
    value: f32,
}

const LEAF: u16 = u16::MAX;

impl IsolationForest {
    /// More trees than these are not built.
    pub const MAX_TREES: usize = 1_000;
    /// No tree is built from more rows than these.
    pub const MAX_SUBSAMPLE: usize = 4_096;

    /// Builds `trees` (1 to [`Self::MAX_TREES`]) trees of height at most ceil(log2 psi), each from psi rows drawn
    /// without replacement, where psi is the smaller of `subsample` (2 to [`Self::MAX_SUBSAMPLE`]) and all rows.
    /// The same rows and seed give the same forest. Of no rows or one, every score is 0.5.
    #[must_use]
    pub fn train(rows: ArrayView2<'_, f32>, trees: usize, subsample: usize, seed: u64) -> Self {
        let trees = trees.clamp(1, Self::MAX_TREES);
        let psi = subsample.clamp(2, Self::MAX_SUBSAMPLE).min(rows.nrows());
        let mut grower = Grower {
            rows,
            rng: Pcg32::seed_from_u64(seed),
            height_limit: psi.max(1).next_power_of_two().trailing_zeros(),
        };
        let mut order: Vec<usize> = (0..rows.nrows()).collect();
        let mut forest =
            Self { nodes: Vec::new(), trees: Vec::with_capacity(trees), expected: mean_path(psi) };
        for _ in 0..trees {
            grower.draw(&mut order, psi);
            forest.trees.push(forest.nodes.len());
            if let Some(sample) = order.get_mut(..psi) {
                grower.grow(sample, &mut forest.nodes);
            }
        }
        forest
    }

    /// s(x, psi) of equation 2, above 0 and below 1: near 1 for a row that is soon set apart, under 0.5 for one
    /// that is not. An attribute that the row does not have is taken for 0.
    #[must_use]
    pub fn score(&self, row: &[f32]) -> f64 {
        if self.expected <= 0.0 {
            return 0.5;
        }
        let ends = self.trees.iter().skip(1).copied().chain([self.nodes.len()]);
        let paths =
            self.trees.iter().zip(ends).map(|(&start, end)| {
                f64::from(self.nodes.get(start..end).map_or(0.0, |tree| path(tree, row)))
            });
        let mean = paths.sum::<f64>() / count(self.trees.len());
        (-mean / self.expected).exp2()
    }
}

/// h(x): edges from the root to the leaf, and the mean path length of what was not grown below it.
fn path(tree: &[Node], row: &[f32]) -> f32 {
    let mut at = 0;
    // A child comes after its parent, so this ends.
    while let Some(node) = tree.get(at) {
        if node.attribute == LEAF {
            return node.value;
        }
        let value = row.get(usize::from(node.attribute)).copied().unwrap_or_default();
        at = usize::from(node.left) + usize::from(value >= node.value);
    }
    0.0
}

/// c(n) of equation 1: the mean path length of an unsuccessful search in a binary search tree of n nodes, with the
/// harmonic number as ln(n-1) + Euler's constant; 1 for two and 0 for less, as in the authors' later paper (2012).
fn mean_path(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => 2.0 * (count(n - 1).ln() + EULER) - 2.0 * count(n - 1) / count(n),
    }
}

struct Grower<'a> {
    rows: ArrayView2<'a, f32>,
    rng: Pcg32,
    height_limit: u32,
}

/// Rows of the sample that a node has yet to be made from.
struct Open {
    node: usize,
    first: usize,
    end: usize,
    height: u32,
}

impl Grower<'_> {
    /// Brings `psi` rows drawn without replacement to the front (Fisher and Yates).
    fn draw(&mut self, order: &mut [usize], psi: usize) {
        for at in 0..psi {
            let other = at + self.below(order.len() - at);
            order.swap(at, other);
        }
    }

    /// Evenly below `n`, to within n / 2^32.
    fn below(&mut self, n: usize) -> usize {
        let n = u64::from(u32::try_from(n).unwrap_or(u32::MAX));
        usize::try_from((u64::from(self.rng.next_u32()) * n) >> 32).unwrap_or_default()
    }

    /// Appends a tree. Children lie side by side behind their parent.
    fn grow(&mut self, sample: &mut [usize], nodes: &mut Vec<Node>) {
        let root = nodes.len();
        let leaf = Node { attribute: LEAF, left: 0, value: 0.0 };
        nodes.push(leaf);
        let mut open = vec![Open { node: root, first: 0, end: sample.len(), height: 0 }];
        while let Some(Open { node, first, end, height }) = open.pop() {
            let Some(part) = sample.get_mut(first..end) else { continue };
            let cut = if height < self.height_limit { self.cut(part) } else { None };
            let Some(place) = nodes.get_mut(node) else { continue };
            let Some((attribute, value)) = cut else {
                place.value = narrow(f64::from(height) + mean_path(end - first));
                continue;
            };
            let left = nodes.len();
            // At most 2 * 4,096 nodes in a tree and fewer attributes than that in a row.
            let (Ok(number), Ok(offset)) = (u16::try_from(attribute), u16::try_from(left - root)) else {
                continue;
            };
            if let Some(place) = nodes.get_mut(node) {
                *place = Node { attribute: number, left: offset, value };
            }
            nodes.extend([leaf, leaf]);
            let middle = first + self.part(part, attribute, value);
            open.push(Open { node: left + 1, first: middle, end, height: height + 1 });
            open.push(Open { node: left, first, end: middle, height: height + 1 });
        }
    }

    /// A random attribute among those that differ, and a random value above its minimum and not above its maximum;
    /// none when all rows are alike.
    fn cut(&mut self, part: &[usize]) -> Option<(usize, f32)> {
        let mut differing = Vec::with_capacity(self.rows.ncols());
        for (attribute, column) in self.rows.columns().into_iter().enumerate() {
            let values = part.iter().filter_map(|&row| column.get(row));
            let (low, high) =
                values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
            if low < high {
                differing.push((attribute, low, high));
            }
        }
        if differing.is_empty() {
            return None;
        }
        let chosen = self.below(differing.len());
        let &(attribute, low, high) = differing.get(chosen)?;
        // In (0, 1), so that the cut lies inside of the range; rounding may still bring it to the minimum.
        let share = (f64::from(self.rng.next_u32()) + 0.5) / 4_294_967_296.0;
        let value = narrow(f64::from(low) + share * (f64::from(high) - f64::from(low)));
        Some((attribute, if value > low { value } else { high }))
    }

    /// Brings the rows below the cut to the front and counts them.
    fn part(&self, part: &mut [usize], attribute: usize, value: f32) -> usize {
        let mut below = 0;
        for at in 0..part.len() {
            let row = part.get(at).copied().unwrap_or_default();
            if self.rows.get((row, attribute)).is_some_and(|&v| v < value) {
                part.swap(at, below);
                below += 1;
            }
        }
        below
    }
}

/// A forest in a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct ForestWire {
    /// Nodes of each tree.
    sizes: Vec<u32>,
    nodes: Vec<(u16, u16, f32)>,
    expected: f64,
}

impl From<&IsolationForest> for ForestWire {
    fn from(forest: &IsolationForest) -> Self {
        let ends = forest.trees.iter().skip(1).copied().chain([forest.nodes.len()]);
        let sizes = forest.trees.iter().zip(ends).map(|(start, end)| u32::try_from(end - start));
        Self {
            sizes: sizes.map(|size| size.unwrap_or(u32::MAX)).collect(),
            nodes: forest.nodes.iter().map(|node| (node.attribute, node.left, node.value)).collect(),
            expected: forest.expected,
        }
    }
}

impl ForestWire {
    /// The forest; none when it does not hold together.
    pub(super) fn read(self) -> Option<IsolationForest> {
        let nodes: Vec<Node> =
            self.nodes.into_iter().map(|(attribute, left, value)| Node { attribute, left, value }).collect();
        let mut trees = Vec::with_capacity(self.sizes.len());
        let mut start = 0_usize;
        for size in self.sizes {
            let end = start.checked_add(usize::try_from(size).ok()?)?;
            let tree = nodes.get(start..end)?;
            let sound = |(at, node): (usize, &Node)| {
                let left = usize::from(node.left);
                node.value.is_finite() && (node.attribute == LEAF || (left > at && left + 1 < tree.len()))
            };
            if !tree.iter().enumerate().all(sound) {
                return None;
            }
            trees.push(start);
            start = end;
        }
        let sound = start == nodes.len() && !trees.is_empty() && self.expected.is_finite();
        sound.then_some(IsolationForest { nodes, trees, expected: self.expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn mean_path_lengths_are_those_of_the_paper() {
        // By hand: c(3) = 2 (ln 2 + 0.57722) - 4/3, c(256) = 2 (ln 255 + 0.57722) - 510/256.
        let by_hand = [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.207_392), (8, 3.296_252), (256, 10.244_770)];
        for (n, expected) in by_hand {
            assert!((mean_path(n) - expected).abs() < 1e-6, "c({n}) = {}", mean_path(n));
        }
    }

    #[test]
    fn three_points_score_as_computed_by_hand() {
        // Height limit 2, so each of three points on a line ends alone: one at depth 1, two at depth 2. With the
        // first cut at a in (0, 10), point 0 is alone when a <= 1 (chance 0.1), point 10 when a > 1 (0.9).
        let rows = Array2::from_shape_vec((3, 1), vec![0.0, 1.0, 10.0]).unwrap();
        let forest = IsolationForest::train(rows.view(), 1_000, 3, 1);
        let path = |x: f32| -forest.score(&[x]).log2() * 1.207_392;
        for (x, expected) in [(0.0, 1.9), (1.0, 2.0), (10.0, 1.1)] {
            assert!((path(x) - expected).abs() < 0.04, "h({x}) = {}", path(x));
        }
    }

    #[test]
    fn one_leaf_of_equal_rows_scores_half() {
        let rows = Array2::<f32>::ones((500, 4));
        let forest = IsolationForest::train(rows.view(), 10, 256, 1);
        assert!((forest.score(&[1.0; 4]) - 0.5).abs() < 1e-6);
        assert!((IsolationForest::train(rows.view(), 10, 1, 1).score(&[1.0; 4]) - 0.5).abs() < 1e-6);
        let none = Array2::<f32>::zeros((0, 4));
        assert!((IsolationForest::train(none.view(), 10, 256, 1).score(&[1.0; 4]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_lonely_point_scores_highest_and_the_seed_decides() {
        let mut rows = Array2::<f32>::zeros((256, 2));
        let mut rng = Pcg32::seed_from_u64(9);
        rows.mapv_inplace(|_| narrow(f64::from(rng.next_u32()) / 4e9));
        rows[[17, 0]] = 5.0;
        rows[[17, 1]] = -5.0;
        let forest = IsolationForest::train(rows.view(), 100, 256, 7);
        let scores: Vec<f64> = rows.rows().into_iter().map(|r| forest.score(&r.to_vec())).collect();
        assert!(scores[17] > 0.8, "{}", scores[17]);
        assert!(scores.iter().enumerate().all(|(at, &s)| at == 17 || (s > 0.0 && s < scores[17])));
        assert_eq!(forest, IsolationForest::train(rows.view(), 100, 256, 7));
        assert_ne!(forest, IsolationForest::train(rows.view(), 100, 256, 8));
    }

    #[test]
    fn a_forest_with_a_child_that_points_back_is_refused() {
        let wire = |left| ForestWire {
            sizes: vec![3],
            nodes: vec![(0, left, 0.5), (LEAF, 0, 1.0), (LEAF, 0, 1.0)],
            expected: 1.0,
        };
        assert!(wire(1).read().is_some());
        assert!(wire(0).read().is_none());
        assert!(wire(2).read().is_none());
    }
}
