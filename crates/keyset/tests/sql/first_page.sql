select * from (
    (
        select id, title, (rank) as keyset_key_1, (id) as keyset_key_2
        from books
        where (library) = ($1::text)
        order by keyset_key_1, keyset_key_2
        limit 201
    )
) as page
order by keyset_key_1, keyset_key_2
limit $2
/* types 397ae0d2 */
