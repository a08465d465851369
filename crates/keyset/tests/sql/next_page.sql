select * from (
    (
        select id, title, (rank) as keyset_key_1, (id) as keyset_key_2
        from books
        where (library) = ($1::text) and ((rank), (id)) > (($2::integer), ($3::bigint))
        order by keyset_key_1, keyset_key_2
        limit 201
    )
) as page
order by keyset_key_1, keyset_key_2
limit $4
/* types 397ae0d2 */
