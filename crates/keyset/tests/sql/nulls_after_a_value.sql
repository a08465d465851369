select * from (
    (
        select * from (
            select id, title, (print_time) as keyset_key_1, (id) as keyset_key_2
            from books
            where (library) = ($1::text) and (print_time) = ($2::timestamp with time zone) and (id) > ($3::bigint)
            order by keyset_key_1 desc nulls last, keyset_key_2
            limit 201
        ) as leaf
        limit $4
    ) union all (
        select * from (
            select id, title, (print_time) as keyset_key_1, (id) as keyset_key_2
            from books
            where (library) = ($1::text) and (print_time) < ($2::timestamp with time zone)
            order by keyset_key_1 desc nulls last, keyset_key_2
            limit 201
        ) as leaf
        limit $4
    ) union all (
        select * from (
            select id, title, (print_time) as keyset_key_1, (id) as keyset_key_2
            from books
            where (library) = ($1::text) and (print_time) is null
            order by keyset_key_1 desc nulls last, keyset_key_2
            limit 201
        ) as leaf
        limit $4
    )
) as page
order by keyset_key_1 desc nulls last, keyset_key_2
limit $4
/* types 397ae0d2 */
