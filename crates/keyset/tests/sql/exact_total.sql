select count(*)
from books
where library = $1 and shelf = $2 and (((length(content) > 100) = $3)) is true
