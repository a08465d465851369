select * from (
    (
        select id, title, (title) as keyset_key_1, (id) as keyset_key_2
        from books
        where (library) = ($1::text) and (title) < ($2::text) and ((title), (id)) > (($3::text), ($4::bigint))
        order by keyset_key_1, keyset_key_2
        limit 201
    )
) as page
order by keyset_key_1, keyset_key_2
limit $5
/* types 397ae0d2 */
