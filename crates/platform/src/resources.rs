use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyset::{CatalogueError, List, Listing, Statement};
use prost::Message;
use prost_types::FieldMask;
use sqlx::postgres::PgRow;
use tokio::task::JoinError;
use uuid::Uuid;

use crate::{Error, Field, Platform, Resource, Violations, field::Value, now};

/// Declares a kind of resource that has an id and an etag: its list, and the fields that callers write.
///
/// Its table has the columns `workspace_id`, `id`, `etag` and `update_time`.
#[derive(Debug)]
pub struct Declaration<M: 'static> {
    /// The list of a workspace's resources, with the table in its `from`.
    pub listing: &'static Listing,
    /// The field of a request that contains the resource, as in `agent`.
    pub field: &'static str,
    /// Returns the id in a message.
    pub id: fn(&M) -> &str,
    /// Returns the etag in a message.
    pub etag: fn(&M) -> &str,
    /// Returns the fields that an update may change.
    pub fields: fn(&M) -> Vec<Field<'_>>,
    /// Sets omitted fields to their defaults.
    pub fill: fn(&mut M),
    /// The field that is unique in a workspace, besides the id; empty if there is none.
    pub unique: &'static str,
    /// A column that is computed from a field, if there is one.
    pub derived: Option<Derived<M>>,
}

/// A column that is computed from a field of a resource, and is written together with it.
///
/// An earlier release, which does not know the column, leaves its mark as it is. So the column is current if and only if the
/// mark is the etag.
#[derive(Debug, Clone, Copy)]
pub struct Derived<M: 'static> {
    /// The field that it is computed from.
    pub field: &'static str,
    /// The column.
    pub column: &'static str,
    /// The type of the column.
    pub column_type: &'static str,
    /// The column with the etag of the resource that the column was computed for.
    pub mark: &'static str,
    /// Computes the column's text, from the workspace and the resource.
    pub compute: for<'a> fn(&'a str, &'a M) -> BoxFuture<'a, Result<String, JoinError>>,
}

/// The resources of a kind in an open service: List, Get, Update and Delete.
#[derive(Debug)]
pub struct Resources<M: 'static> {
    /// Their list.
    pub list: List,
    declaration: &'static Declaration<M>,
    platform: Platform,
    get: Arc<str>,
    update: Arc<str>,
    delete: Arc<str>,
}

impl<M> Clone for Resources<M> {
    fn clone(&self) -> Self {
        Self {
            list: self.list.clone(),
            platform: self.platform.clone(),
            get: Arc::clone(&self.get),
            update: Arc::clone(&self.update),
            delete: Arc::clone(&self.delete),
            ..*self
        }
    }
}

impl<M: Message + Default> Resources<M> {
    /// Opens the list and builds the statements.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the table does not fit the list.
    pub async fn open(platform: &Platform, declaration: &'static Declaration<M>) -> Result<Self, CatalogueError> {
        let Listing { from, columns, .. } = declaration.listing;
        let of_one = "where workspace_id = $1 and id = $2";
        let empty = M::default();
        let fields = (declaration.fields)(&empty);
        let derived = declaration.derived.as_ref().map_or_else(String::new, |derived| derived.assign(6 + fields.len()));
        Ok(Self {
            list: platform.paging.open(declaration.listing).await?,
            declaration,
            platform: platform.clone(),
            get: format!("select {columns} from {from} {of_one}").into(),
            update: format!(
                "update {from} set {}{derived} etag = $4, update_time = greatest($5, update_time + interval '1 microsecond')
                {of_one} and ($3 = '' or etag::text = $3) returning {columns}",
                assignments(&fields, 6),
            )
            .into(),
            delete: format!("delete from {from} {of_one} returning id").into(),
        })
    }

    /// The resource with this id.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], for the field `id`.
    pub async fn get(&self, workspace: &str, id: &str) -> Result<M, Error> {
        let id = crate::parse_id("id", id)?;
        self.find(workspace, id).await?.ok_or_else(|| Error::NotFound(self.resource("id", &id.to_string())))
    }

    /// The resource with this id, if it exists.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn find(&self, workspace: &str, id: Uuid) -> Result<Option<M>, Error> {
        let statement = Statement::built(Arc::clone(&self.get)).bind(workspace).bind(id);
        Ok(self.list.first(&self.platform.database.read_rows(statement).await?)?)
    }

    /// Changes the fields that the mask names, as in [AIP-134](https://google.aip.dev/134): without a mask, the fields
    /// that are not empty; with `*`, all fields.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] with everything that is wrong; [`Error::NotFound`]; [`Error::Aborted`] when the
    /// request's etag is not the current one; [`Error::AlreadyExists`] when another resource has the same value in the
    /// unique field.
    pub async fn update(&self, workspace: &str, resource: Option<M>, mask: Option<FieldMask>) -> Result<M, Error> {
        let Declaration { field, fields, fill, etag, derived, .. } = self.declaration;
        let mut resource = resource.unwrap_or_default();
        let mut violations = Violations::default();
        let id = violations.id(format_args!("{field}.id"), (self.declaration.id)(&resource));
        let named = named(&fields(&resource), mask, &mut violations);
        fill(&mut resource);
        violations.etag(format_args!("{field}.etag"), etag(&resource));
        let path = format!("{field}.");
        let fields = fields(&resource);
        for field in fields.iter().filter(|field| named.contains(&field.path)) {
            field.check(&path, &mut violations);
        }
        violations.check()?;

        let Platform { clock, ids, database, .. } = &self.platform;
        let statement = Statement::built(Arc::clone(&self.update)).bind(workspace).bind(id).bind(etag(&resource));
        let statement = fields.iter().fold(statement.bind(ids.next()).bind(now(clock)), |statement, field| {
            field.value.bind(statement, named.contains(&field.path))
        });
        let statement = match derived {
            Some(derived) => {
                let is_given = named.contains(&derived.field);
                let text = if is_given { Some((derived.compute)(workspace, &resource).await?) } else { None };
                statement.bind(text)
            }
            None => statement,
        };
        let updated = match database.write_rows(statement).await {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(Error::AlreadyExists(self.unique(&path, &fields)));
            }
            updated => self.list.first(&updated?)?,
        };
        match updated {
            Some(updated) => Ok(updated),
            None => Err(self.not_updated(workspace, id).await?),
        }
    }

    /// Deletes the resource with this id.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], for the field `id`.
    pub async fn delete(&self, workspace: &str, id: &str) -> Result<(), Error> {
        let id = crate::parse_id("id", id)?;
        let statement = Statement::built(Arc::clone(&self.delete)).bind(workspace).bind(id);
        let deleted: Vec<PgRow> = self.platform.database.write_rows(statement).await?;
        if deleted.is_empty() { Err(Error::NotFound(self.resource("id", &id.to_string()))) } else { Ok(()) }
    }

    /// Checks that the resource whose id is in this field of a request exists.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn check_exists(&self, workspace: &str, field: &str, id: Uuid) -> Result<(), Error> {
        let found = self.find(workspace, id).await?;
        found.map(|_: M| ()).ok_or_else(|| Error::NotFound(self.resource(field, &id.to_string())))
    }

    /// A resource of this kind, as errors name it.
    pub fn resource(&self, field: impl Into<String>, name: &str) -> Resource {
        Resource { kind: self.declaration.listing.message, field: field.into(), name: name.to_owned() }
    }

    /// Why an update changed no row.
    async fn not_updated(&self, workspace: &str, id: Uuid) -> Result<Error, Error> {
        let exists = self.find(workspace, id).await?.is_some();
        let resource = self.resource(format!("{}.id", self.declaration.field), &id.to_string());
        Ok(if exists { Error::Aborted(resource) } else { Error::NotFound(resource) })
    }

    fn unique(&self, path: &str, fields: &[Field<'_>]) -> Resource {
        let unique = self.declaration.unique;
        let value = fields.iter().find(|field| field.path == unique).map(|field| field.value);
        let name = if let Some(Value::Text(name)) = value { name } else { "" };
        self.resource(format!("{path}{unique}"), name)
    }
}

impl<M> Derived<M> {
    /// Assigns the column from a parameter, and the mark. A null leaves the column as it is, and current if it was.
    fn assign(&self, parameter: usize) -> String {
        let Self { column, column_type, mark, .. } = self;
        format!(
            "{column} = coalesce(${parameter}::text::{column_type}, {column}),
            {mark} = case when ${parameter}::text is not null or {mark} = etag then $4 else {mark} end,"
        )
    }
}

/// The paths of the fields that a mask names. It must name at least one field, and only fields that exist.
fn named(fields: &[Field<'_>], mask: Option<FieldMask>, violations: &mut Violations) -> Vec<&'static str> {
    let paths = mask.unwrap_or_default().paths;
    let is_named = |field: &&Field<'_>| match paths.as_slice() {
        [] => !field.is_empty,
        paths => paths.iter().any(|path| path == field.path || path == "*"),
    };
    let named: Vec<_> = fields.iter().filter(is_named).map(|field| field.path).collect();
    let is_known = |path: &String| path == "*" || fields.iter().any(|field| field.path == path);
    if named.is_empty() || !paths.iter().all(is_known) {
        let all: Vec<_> = fields.iter().map(|field| field.path).collect();
        violations.add("update_mask", format!("must name fields to change, out of {}", all.join(", ")));
    }
    named
}

/// `name = coalesce($6, name), …`: a null leaves the column as it is, so one statement serves every mask.
pub fn assignments(fields: &[Field<'_>], first: usize) -> String {
    let assignments = fields.iter().zip(first..);
    assignments.map(|(Field { column, .. }, number)| format!("{column} = coalesce(${number}, {column}), ")).collect()
}
