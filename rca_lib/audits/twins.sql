-- Twins share an audit_id: `repeated` copies an earlier row, `conflict` means that contents differ: what the rows say, so
-- that 09:37 and 09:37:00 are the same, and what stands in them where one cannot be read. Grouping hashes first keeps the
-- memory small; only the few candidates are compared in full.
create table twins as
with again as (
    select hash(audit_id) as h from judged where audit_id is not null group by h having count(*) > 1
), candidates as (
    select row, audit_id, md5(case when readable then said else content end) as content
    from (
        select row, audit_id, len(reasons) = 0 as readable, said
        from values_of_rows where hash(audit_id) in (select h from again)
    ) join contents using (row)
)
select
    row,
    row > min(row) over (partition by audit_id, content) as repeated,
    min(content) over (partition by audit_id) <> max(content) over (partition by audit_id) as conflict
from candidates;

-- What becomes of each row.
create view fates as select
    * exclude (conflict, repeated, reasons),
    case when conflict then list_append(reasons, 'same audit_id with different content') else reasons end as reasons,
    case when is_empty then 'empty' when repeated then 'exact duplicate'
        when conflict or len(reasons) > 0 then 'quarantined' else 'kept' end as fate
from judged left join twins using (row);
