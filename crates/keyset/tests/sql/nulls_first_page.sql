select * from (
    (
        select id, title, (print_time) as keyset_key_1, (id) as keyset_key_2
        from books
        where (library) = ($1::text)
        order by keyset_key_1 desc nulls last, keyset_key_2
        limit 201
    )
) as page
order by keyset_key_1 desc nulls last, keyset_key_2
limit $2
/* types 397ae0d2 */
