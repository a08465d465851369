select coalesce(sum(row_count), 0)::int8
from shelf_counts
where (library) = ($1::text) and (shelf) = ($2::text)
