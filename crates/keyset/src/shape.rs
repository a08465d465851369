//! The shapes of a list's statements. A shape is everything that decides a statement's text: the filters of the
//! request, the order, the direction, whether the page begins after a row, and which keys of that row are null.
//! Everything else in a request is a bound value, so the text is built once for each shape and prepared once on each
//! connection.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use pagination::Direction;

/// The most shapes whose text a list keeps. A program uses a few dozen at most. Callers who try all combinations of
/// filters can create more; then the list drops all of them and starts again.
const MAX_SHAPES: usize = 500;

/// Everything that decides the text of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ShapeKey {
    pub(crate) purpose: Purpose,
    /// The position of the order in the listing.
    pub(crate) order: usize,
    /// The positions of the filters that the request has.
    pub(crate) filters: Vec<usize>,
    /// The positions of the prefixes after which some text sorts.
    pub(crate) ends: Vec<usize>,
    /// The parameters that Postgres reads from text.
    pub(crate) texts: Vec<Slot>,
    /// The names of the columns to read, if these are not all.
    pub(crate) columns: Option<Arc<[String]>>,
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
    /// The exact count of a counter, by the counter's position in the listing.
    Counter(usize),
}

/// The row that a page begins after, or at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Anchor {
    pub(crate) is_inclusive: bool,
    /// For each key of the order, whether it is null.
    pub(crate) nulls: Vec<bool>,
}

/// A parameter, named by the source of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// A column of the scope, a parameter of `from` or a filter, by its position in the listing.
    Scope(usize),
    Parameter(usize),
    Filter(usize),
    /// The least text after every text with the filter's prefix.
    PrefixEnd(usize),
    /// A key of the anchor.
    Key(usize),
    /// The number of rows to return, to skip, both together, and to examine.
    Limit,
    Skip,
    Reach,
    Examined,
}

/// A statement while its text is written. Text and parameters are written together, so that they cannot disagree.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    slots: Vec<Slot>,
}

impl Draft {
    /// Adds a parameter and returns its placeholder.
    pub(crate) fn bind(&mut self, slot: Slot) -> String {
        self.slots.push(slot);
        format!("${}", self.slots.len())
    }

    pub(crate) fn finish(self, sql: String) -> Shape {
        Shape { sql: sql.into(), slots: self.slots }
    }
}

/// A statement's text and its parameters.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) sql: Arc<str>,
    pub(crate) slots: Vec<Slot>,
}

/// The shapes that a list has built so far.
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

/// The text with every line after the first indented, to embed it in another text.
pub(crate) fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}
