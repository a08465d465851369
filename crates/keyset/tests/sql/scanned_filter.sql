select * from (
    select rows.*, row_number() over (order by keyset_key_1, keyset_key_2) as keyset_position
    from (
        select * from (
            (
                select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                    (((length(content) > 100) = ($3::boolean))) is true as keyset_hit
                from books
                where (library) = ($1::text) and (shelf) = ($2::text)
                order by keyset_key_1, keyset_key_2
                limit 2000
            )
        ) as page
        order by keyset_key_1, keyset_key_2
        limit $4
    ) as rows
) as examined
where keyset_hit or keyset_position = $4
order by keyset_key_1, keyset_key_2
limit $5
/* types 397ae0d2 */
