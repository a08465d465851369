select * from (
    (
        select * from (
            select id, title, (rank) as keyset_key_1, (id) as keyset_key_2
            from books
            where (library) = ($1::text) and (rank) = ($2::integer) and (id) > ($3::bigint)
            order by keyset_key_1 desc, keyset_key_2
            limit 201
        ) as leaf
        limit $4
    ) union all (
        select * from (
            select id, title, (rank) as keyset_key_1, (id) as keyset_key_2
            from books
            where (library) = ($1::text) and (rank) < ($2::integer)
            order by keyset_key_1 desc, keyset_key_2
            limit 201
        ) as leaf
        limit $4
    )
) as page
order by keyset_key_1 desc, keyset_key_2
limit $4
/* types 397ae0d2 */
