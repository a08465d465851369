//! The shapes of a list's statements. A shape is all that decides a statement's text: which filters a request has, its
//! order, its direction, whether it begins behind a row, and which of that row's keys are null. What a request changes
//! beyond that are values, so the text is built once for each shape, and prepared once on each connection.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use pagination::Direction;

/// The most shapes whose text a list keeps. Those that a program asks for are a few dozen at most; more come of callers who
/// try all combinations of filters, and then the list begins anew.
const MAX_SHAPES: usize = 500;

/// What decides the text of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ShapeKey {
    pub(crate) purpose: Purpose,
    /// The place of the order in the listing.
    pub(crate) order: usize,
    /// The places of the filters that the request has.
    pub(crate) filters: Vec<usize>,
    /// The places of the prefixes that some text sorts behind.
    pub(crate) ends: Vec<usize>,
}

/// What a statement is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A page.
    Page { direction: Direction, anchor: Option<Anchor>, skips: bool },
    /// A capped count.
    Capped,
    /// An exact count, or the planner's estimate of one.
    Count { is_estimated: bool },
    /// The exact count that a counter has, by its place in the listing.
    Counter(usize),
}

/// The row that a page begins behind, or at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Anchor {
    pub(crate) is_inclusive: bool,
    /// For each key of the order whether it is null.
    pub(crate) nulls: Vec<bool>,
}

/// A parameter: what its value is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A column of the scope, a parameter of `from`, a filter: by their places in the listing.
    Scope(usize),
    Parameter(usize),
    Filter(usize),
    /// The least text behind every text with the filter's prefix.
    PrefixEnd(usize),
    /// A key of the anchor.
    Key(usize),
    /// The rows wanted, those to skip, both together, and those to examine.
    Limit,
    Skip,
    Reach,
    Examined,
}

/// A statement's text while it is written. Text and parameters are written together, so that they cannot disagree.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    slots: Vec<Slot>,
}

impl Draft {
    /// What stands for a value in the text.
    pub(crate) fn bind(&mut self, slot: Slot) -> String {
        self.slots.push(slot);
        format!("${}", self.slots.len())
    }

    pub(crate) fn finish(self, sql: String) -> Shape {
        Shape { sql: sql.into(), slots: self.slots }
    }
}

/// A statement's text, and what its parameters are.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) sql: Arc<str>,
    pub(crate) slots: Vec<Slot>,
}

/// The shapes that a list has been asked for.
#[derive(Clone, Default)]
pub(crate) struct Shapes(Arc<Mutex<HashMap<ShapeKey, Arc<Shape>>>>);

impl Shapes {
    pub(crate) fn get(&self, key: ShapeKey, build: impl FnOnce(&ShapeKey) -> Shape) -> Arc<Shape> {
        let mut shapes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = shapes.get(&key) {
            return shape.clone();
        }
        if shapes.len() >= MAX_SHAPES {
            shapes.clear();
        }
        let shape = Arc::new(build(&key));
        shapes.insert(key, shape.clone());
        shape
    }
}

impl fmt::Debug for Shapes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shapes")
    }
}

/// The text, each of its lines further to the right, as part of another.
pub(crate) fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}
