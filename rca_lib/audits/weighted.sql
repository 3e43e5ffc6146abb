-- Weights: a kept, sampled audit stands for N_h / n_h decisions of its stratum; what was not sampled stands for itself.
create macro is_sampled(round, stream) as coalesce(round, 1) = 1
    and (not has_streams() or coalesce(list_contains(words('proportional'), stream), false));

create table weights as
select row, line, decisions / count(*) over (partition by line) as weight
from fates join population on population.site = fates.site and population.stratum = fates.stratum
    and (population.queue is null or population.queue = fates.queue) and day >= population.start and day < population.end
where fate = 'kept' and is_sampled(audit_round, stream);

create view weighted as
select
    row as source_row, source_name() as source_file, strftime(day, '%Y-%m') as month,
    * replace (
        case when fate = 'kept' and lacks_weight then 'quarantined' else fate end as fate,
        case when lacks_weight then list_append(reasons, 'missing weight') else reasons end as reasons),
    concat_ws('; ', nullif(regexp_replace(rejected, '^kept: [^;]*(; )?', ''), ''), case when reasons[1] like 'unparseable date %' or reasons[1] like 'not a number %' then
        '"' || left(unread_text, 60) || '" is not understood' end, mend_of(coalesce(reasons[1], 'missing weight')),
        'nearest: ' || near) as suggestion
from (
    select fates.* exclude (weight), needs_weights() and found is null as lacks_weight, found as weight
    from (
        select fates.*, coalesce(fates.weight, weights.weight, case when not is_sampled(audit_round, stream) then 1.0 end) as found
        from fates left join weights using (row)
    ) as fates
);
