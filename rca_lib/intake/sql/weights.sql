-- Design weights: a kept, sampled audit represents N_h / n_h decisions of its stratum; any other audit represents itself.
create macro is_sampled(round, stream) as coalesce(round, 1) = 1
    and (not has_stream_column() or coalesce(list_contains(allowed_values('proportional'), stream), false));

create table stratum_weights as
select row, line, decisions / count(*) over (partition by line) as weight
from row_statuses join population on population.site = row_statuses.site and population.stratum = row_statuses.stratum
    and (population.queue is null or population.queue = row_statuses.queue) and day >= population.start and day < population.end
where row_status = 'kept' and is_sampled(audit_round, stream);

create view weighted_rows as
select
    row as source_row, source_name() as source_file, strftime(day, '%Y-%m') as month,
    * replace (
        case when row_status = 'kept' and is_missing_weight then 'quarantined' else row_status end as row_status,
        case when is_missing_weight then list_append(reasons, 'missing weight') else reasons end as reasons),
    concat_ws('; ', nullif(regexp_replace(record_issue, '^kept: [^;]*(; )?', ''), ''), case when reasons[1] like 'unparseable date %' or reasons[1] like 'not a number %' then
        '"' || left(unparsed_text, 60) || '" is not understood' end, suggest_correction(coalesce(reasons[1], 'missing weight')),
        'nearest: ' || nearest_values) as suggestion
from (
    select row_statuses.* exclude (weight), needs_weights() and final_weight is null as is_missing_weight, final_weight as weight
    from (
        select row_statuses.*, coalesce(row_statuses.weight, stratum_weights.weight, case when not is_sampled(audit_round, stream) then 1.0 end) as final_weight
        from row_statuses left join stratum_weights using (row)
    ) as row_statuses
);
