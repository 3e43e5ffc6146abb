-- Evidence for the conventions of timestamps and numbers. 'either' is ambiguous, null is no evidence. One row per column and
-- combination of evidence, with the first row and value that gave it.
create table format_evidence as
select
    name,
    case when name like '%\_at' escape '\' then infer_date_order(value) end as date_order,
    case when name like '%\_at' escape '\' and not has_offset(value) then 'either' end as time_zone,
    case when name not like '%\_at' escape '\' then infer_decimal_mark(value) end as decimal_mark,
    case when name not like '%\_at' escape '\' then infer_percent_unit(name, value) end as unit,
    min(row) as row,
    arg_min(value, row) as value,
    count(*) as rows
from (
    select row, t_decided_at as decided_at, t_audited_at as audited_at, t_weight as weight, t_audit_round as audit_round,
        t_tenure_days as tenure_days, t_handle_seconds as handle_seconds, t_model_score as model_score
    from standardized_rows
) unpivot (value for name in (decided_at, audited_at, weight, audit_round, tenure_days, handle_seconds, model_score))
group by all;
