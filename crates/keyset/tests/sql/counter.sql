select coalesce(sum(row_count), 0)::int8
from shelf_counts
where library = $1 and shelf = $2
