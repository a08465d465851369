select * from (
    select page.*, sum(keyset_weight) over nearest as keyset_running, row_number() over nearest as keyset_rank,
        lead(true) over nearest as keyset_more
    from (
        select * from (
            (
                select id, title, (rank) as keyset_key_1, (id) as keyset_key_2,
                    greatest(coalesce((octet_length(content)), 0), 0) as keyset_weight
                from books
                where (library) = ($1::text)
                order by keyset_key_1, keyset_key_2
                limit 201
            )
        ) as page
        order by keyset_key_1, keyset_key_2
        limit $2
    ) as page
    window nearest as (order by keyset_key_1, keyset_key_2)
) as weighed
where keyset_running <= 3670016 or keyset_rank = 1
order by keyset_key_1, keyset_key_2
/* types 397ae0d2 */
