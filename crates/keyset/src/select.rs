//! The statement of a page.
//!
//! From the inside out: each branch of the seek reads its index range in order, up to a limit. The branches are merged
//! and limited again. If a filter has no index, a limited number of rows is examined, and the hits are kept together
//! with the last row examined. If rows are large, a running sum cuts the page.
//!
//! The innermost limit is a constant, and the next one is a parameter. In a generic plan, Postgres does not know the
//! value of a parameter and assumes that a tenth of the table is wanted. The constant tells it that the page is small.

use pagination::{Direction, MAX_SKIP};

use crate::{
    MAX_PAGE_BYTES,
    listing::{Key, Nulls, Sort},
    seek::{self, branches},
    selection::{Selection, Types},
    shape::{Anchor, Draft, Shape, Slot, indented},
    source::{Found, Reading, Source, or_true},
};

/// Whether a row passes the filters that no index serves. Page statements add this column and the next two.
pub(crate) const HIT: &str = "keyset_hit";
/// The position of a row among those examined.
pub(crate) const POSITION: &str = "keyset_position";
/// Whether another row follows this one before the page is cut by weight.
pub(crate) const MORE: &str = "keyset_more";

/// The name of the column that holds a key.
pub(crate) fn key_column(place: usize) -> String {
    format!("keyset_key_{}", place + 1)
}

/// The statement that fetches the rows of a page, nearest to its anchor first.
pub(crate) fn page(selection: &Selection, direction: Direction, anchor: Option<&Anchor>, skips: bool) -> Shape {
    let mut draft = Draft::default();
    let select = Select::new(selection, &mut draft, direction);
    let conditions = select.conditions(&mut draft, anchor);
    let most = selection.listing.page.max_size + 1;
    let page = if select.source.hit.is_some() {
        let examined = draft.bind(Slot::Examined);
        let rows =
            select.merge(&select.source.from, &conditions, &selection.listing.examined_rows.to_string(), &examined);
        let limit = draft.bind(Slot::Limit);
        match &select.source.found {
            Some(found) => select.find(found, &rows, &conditions, &examined, &limit),
            None => select.hits(&rows, &examined, &limit),
        }
    } else if skips {
        let limit = draft.bind(Slot::Limit);
        let reach = draft.bind(Slot::Reach);
        let skip = draft.bind(Slot::Skip);
        let rows = select.merge(&select.source.from, &conditions, &(MAX_SKIP + most).to_string(), &reach);
        let order = select.order();
        format!("select * from (\n    {}\n) as page\norder by {order}\nlimit {limit} offset {skip}", indented(&rows))
    } else {
        let limit = draft.bind(Slot::Limit);
        select.merge(&select.source.from, &conditions, &most.to_string(), &limit)
    };
    let page = if selection.listing.weight.is_some() { select.cut(&page) } else { page };
    let page = match &selection.columns {
        Some(columns) => select.mask(&page, columns),
        None => page,
    };
    draft.finish(tagged(page, &selection.types))
}

/// A statement that returns the columns of the list, with the tag of their types.
pub(crate) fn tagged(statement: String, types: &Types) -> String {
    if types.tag.is_empty() { statement } else { format!("{statement}\n/* types {} */", types.tag) }
}

/// The rows that a capped count examines, and whether each one is a hit.
pub(crate) fn examined(selection: &Selection, draft: &mut Draft, limit: u32) -> String {
    let select = Select::new(selection, draft, Direction::Forward);
    let hit = select.source.hit.as_deref();
    if let Some(found) = &select.source.found {
        let (from, condition, hit) = (&select.source.from, &found.condition, hit.unwrap_or("true"));
        return format!("select {hit} as {HIT}\nfrom {from}\nwhere {condition}\nlimit {limit}");
    }
    let conditions = select.conditions(draft, None);
    let limit = limit.to_string();
    let rows = select.merge(&select.source.from, &conditions, &limit, &limit);
    let hit = hit.map_or("true", |_| HIT);
    format!("select {hit} as {HIT} from (\n    {}\n) as rows", indented(&rows))
}

/// What the parts of one page statement share.
struct Select<'a> {
    selection: &'a Selection,
    source: Source,
    /// The order's keys in the direction of the page.
    keys: Vec<Key>,
}

impl<'a> Select<'a> {
    fn new(selection: &'a Selection, draft: &mut Draft, direction: Direction) -> Self {
        let keys = selection.order.keys.iter().copied();
        let keys = match direction {
            Direction::Forward => keys.collect(),
            Direction::Backward => keys.map(Key::reversed).collect(),
        };
        Self { selection, source: Source::new(selection, draft, Reading::Page), keys }
    }

    /// The condition of each index range that may hold rows of the page, nearest first.
    fn conditions(&self, draft: &mut Draft, anchor: Option<&Anchor>) -> Vec<String> {
        let ranges = self.bounds(draft, anchor.is_some());
        let all: Vec<String> = self.source.conditions.iter().cloned().chain(ranges).collect();
        let with = |branch: String| or_true(&all.iter().cloned().chain(std::iter::once(branch)).collect::<Vec<_>>());
        match anchor {
            None => vec![or_true(&all)],
            Some(anchor) => self.seek(draft, anchor).into_iter().map(with).collect(),
        }
    }

    /// The bounds that filters set on the first key.
    ///
    /// After an anchor, the bound on the anchor's side always holds. If it is written anyway, Postgres 18 can start at
    /// the bound and read every index entry up to the anchor; Postgres 15 does not. If the key may be null, the anchor
    /// does not imply the bound, so both bounds are written.
    fn bounds(&self, draft: &mut Draft, is_anchored: bool) -> Vec<String> {
        let Some(first) = self.keys.first() else { return Vec::new() };
        let (lower, upper) = (self.source.lower.iter(), self.source.upper.iter());
        let (lower, upper) = (lower.map(|slot| (">=", *slot)), upper.map(|slot| ("<", *slot)));
        let bounds: Vec<_> = match (is_anchored && first.nulls == Nulls::Never, first.sort) {
            (false, _) => lower.chain(upper).collect(),
            (true, Sort::Ascending) => upper.collect(),
            (true, Sort::Descending) => lower.collect(),
        };
        // Only what is written is bound: Postgres cannot tell the type of a parameter that is not used.
        let bound =
            |(operator, slot)| format!("({}) {operator} {}", first.expression, self.selection.bind(draft, slot));
        bounds.into_iter().map(bound).collect()
    }

    /// The branches of the seek after an anchor.
    fn seek(&self, draft: &mut Draft, anchor: &Anchor) -> Vec<String> {
        let types = self.selection.key_types().iter();
        let keys = self.keys.iter().zip(types).zip(&anchor.nulls).enumerate();
        let anchors = keys.map(|(place, ((&key, key_type), is_null))| {
            let value = (!is_null).then(|| format!("({}::{})", draft.bind(Slot::Key(place)), key_type.name));
            seek::Anchor { key, value }
        });
        let branches = branches(&anchors.collect::<Vec<_>>(), anchor.is_inclusive);
        if branches.is_empty() { vec!["false".to_owned()] } else { branches }
    }

    /// The rows of all ranges, in order and limited. If there are several ranges, each is limited separately as well.
    fn merge(&self, from: &str, conditions: &[String], ceiling: &str, limit: &str) -> String {
        let leaves = conditions.iter().map(|condition| self.leaf(from, condition, ceiling));
        let is_one = conditions.len() == 1 && self.source.lookups.is_empty();
        let rows: Vec<String> =
            if is_one { leaves.collect() } else { leaves.map(|leaf| self.look_up(&leaf, limit)).collect() };
        let rows: Vec<String> = rows.iter().map(|rows| format!("(\n    {}\n)", indented(rows))).collect();
        let rows = indented(&rows.join(" union all "));
        format!("select * from (\n    {rows}\n) as page\norder by {}\nlimit {limit}", self.order())
    }

    /// An index range, read in order. ORDER BY uses the key columns added here, because it resolves a name to an output
    /// column before a table column.
    fn leaf(&self, from: &str, condition: &str, ceiling: &str) -> String {
        let listing = self.selection.listing;
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(place, key)| format!(", ({}) as {}", key.expression, key_column(place)));
        let hit = self.source.hit.iter().map(|hit| format!(",\n    {hit} as {HIT}"));
        let weight = listing.weight.iter();
        let weight = weight.map(|weight| format!(",\n    greatest(coalesce(({weight}), 0), 0) as keyset_weight"));
        let added: String = keys.chain(hit).chain(weight).collect();
        let (columns, order) = (listing.columns, self.order());
        format!("select {columns}{added}\nfrom {from}\nwhere {condition}\norder by {order}\nlimit {ceiling}")
    }

    /// A leaf, limited to the wanted rows. If a filter is a set of values, the leaf runs once for each value. The outer
    /// query does not repeat the leaf's order, because Postgres would sort again: it does not see that a key fixed by
    /// the condition needs no sort.
    fn look_up(&self, leaf: &str, limit: &str) -> String {
        let leaf = format!("select * from (\n    {}\n) as leaf\nlimit {limit}", indented(leaf));
        if self.source.lookups.is_empty() {
            return leaf;
        }
        let lookups = self.source.lookups.join(", ");
        format!("select looked_up.* from {lookups}\ncross join lateral (\n    {}\n) as looked_up", indented(&leaf))
    }

    /// The rows that pass the filters that no index serves, and the last row examined.
    fn hits(&self, rows: &str, examined: &str, limit: &str) -> String {
        let (order, rows) = (self.order(), indented(&indented(rows)));
        format!(
            "select * from (\n    select rows.*, row_number() over (order by {order}) as {POSITION}\n    from (\n        {rows}\n    ) as rows\n) \
             as examined\nwhere {HIT} or {POSITION} = {examined}\norder by {order}\nlimit {limit}",
        )
    }

    /// The rows that pass all filters, if the request has search filters. First, rows are examined in order, as without
    /// these filters. If that neither fills the page nor reaches the end of the list, few rows match, so the indexes of
    /// the search filters find them, and they are sorted. If they are too many to be sorted, the page is that of the first
    /// step.
    ///
    /// The other way round, an index would collect all matching rows of the table first: 36 ms for a third of a million.
    fn find(&self, found: &Found, rows: &str, conditions: &[String], examined: &str, limit: &str) -> String {
        let (from, order, most) = (&self.source.from, self.order(), self.selection.listing.examined_rows);
        let (rows, condition) = (indented(&indented(rows)), &found.condition);
        let most = most.to_string();
        let sorted = indented(&indented(&self.merge(&found.from, conditions, &most, &most)));
        format!(
            "with keyset_examined as materialized (\n    select rows.*, row_number() over (order by {order}) as {POSITION}\n    \
             from (\n        {rows}\n    ) as rows\n), keyset_found as materialized (\n    select {from}.* from {from}\n    \
             where {condition}\n    limit {most} + 1\n), keyset_choice as materialized (\n    \
             select case\n        when (select count(*) from keyset_examined where {HIT}) >= {limit} then false\n        \
             when (select count(*) from keyset_examined) < {examined} then false\n        \
             else (select count(*) from keyset_found) <= {most}\n    end as is_found\n)\n\
             select * from (\n    select * from keyset_examined\n    \
             where ({HIT} or {POSITION} = {examined}) and not (select is_found from keyset_choice)\n    union all\n    \
             select found.*, 0 as {POSITION}\n    from (\n        {sorted}\n    ) as found\n    \
             where {HIT} and (select is_found from keyset_choice)\n) as page\norder by {order}\nlimit {limit}"
        )
    }

    /// As many rows as fit in a page, and at least one.
    fn cut(&self, page: &str) -> String {
        let (order, page) = (self.order(), indented(&indented(page)));
        format!(
            "select * from (\n    select page.*, sum(keyset_weight) over nearest as keyset_running, row_number() over nearest \
             as keyset_rank,\n        lead(true) over nearest as {MORE}\n    from (\n        {page}\n    ) as page\n    \
             window nearest as (order by {order})\n) as weighed\nwhere keyset_running <= {MAX_PAGE_BYTES} or keyset_rank = 1\n\
             order by {order}",
        )
    }

    /// The page with only these columns of the list. Postgres does not compute or read a column of a subquery that the
    /// query around it leaves out.
    fn mask(&self, page: &str, columns: &[String]) -> String {
        let listed = columns.iter().map(|column| format!("\"{}\"", column.replace('"', "\"\"")));
        let keys = (0..self.keys.len()).map(key_column);
        let hits = self.source.hit.iter().flat_map(|_: &String| [HIT.to_owned(), POSITION.to_owned()]);
        let more = self.selection.listing.weight.iter().map(|_: &&str| MORE.to_owned());
        let columns: Vec<_> = listed.chain(keys).chain(hits).chain(more).collect();
        let (columns, page, order) = (columns.join(", "), indented(page), self.order());
        format!("select {columns}\nfrom (\n    {page}\n) as masked\norder by {order}")
    }

    /// The order of the page, by its key columns.
    fn order(&self) -> String {
        let keys = self.keys.iter().enumerate().map(|(place, key)| key.order_by(&key_column(place)));
        keys.collect::<Vec<_>>().join(", ")
    }
}
