-- Rows that share an audit_id. `is_duplicate`: the row repeats an earlier one. `has_conflict`: the contents differ. Parsed
-- values are compared, so that 09:37 and 09:37:00 are equal; the text is compared if a row cannot be parsed. Grouping by
-- hash keeps the memory small, and only the few candidates are compared in full.
create table duplicate_ids as
with repeated_hashes as (
    select hash(audit_id) as h from validated_rows where audit_id is not null group by h having count(*) > 1
), candidates as (
    select row, audit_id, md5(case when is_parsed then value_list else content end) as content
    from (
        select row, audit_id, len(reasons) = 0 as is_parsed, value_list
        from row_values where hash(audit_id) in (select h from repeated_hashes)
    ) join row_contents using (row)
)
select
    row,
    row > min(row) over (partition by audit_id, content) as is_duplicate,
    min(content) over (partition by audit_id) <> max(content) over (partition by audit_id) as has_conflict
from candidates;

-- The status of each row.
create view row_statuses as select
    * exclude (has_conflict, is_duplicate, reasons),
    case when has_conflict then list_append(reasons, 'same audit_id with different content') else reasons end as reasons,
    case when is_empty then 'empty' when is_duplicate then 'exact duplicate'
        when has_conflict or len(reasons) > 0 then 'quarantined' else 'kept' end as row_status
from validated_rows left join duplicate_ids using (row);
