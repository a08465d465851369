explain (format json) select 1
from books
where (library) = ($1::text) and (shelf) = ($2::text) and ((length(content) > 100) = ($3::boolean))
