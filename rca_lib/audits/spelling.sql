-- Texts as `rca_lib.audits.spelling` cleans them: the same rules for columns with more values than Python should see.
-- Most texts are plain: printable ASCII without doubled blanks. Before this file rca_lib.audits.names makes the macro
-- typed_signs(v), which is str.translate, and the patterns.
create macro is_plain(v) as strlen(v) = length(v) and not regexp_matches(v, '[^ -~]|  |^ | $');
create macro clean_text(v) as case when is_plain(v) then v else nullif(regexp_replace(regexp_replace(nfc_normalize(
    regexp_replace(v, hidden_signs(), '', 'g')), blank_signs(), ' ', 'g'), unseen_ends(), '', 'g'), '') end;
create macro fold_id(v) as case when is_plain(v) then v else typed_signs(clean_text(v)) end;
create macro unwrap(v) as case
    when left(v, 1) in ('"', '''') and right(v, 1) = left(v, 1) and length(v) >= 2 and not contains(v[2:-2], left(v, 1))
    then nullif(trim(v[2:-2]), '') else v end;
