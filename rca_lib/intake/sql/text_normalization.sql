-- Cleaning of text by the rules of rca_lib.intake.text_normalization, for columns with too many values for Python. Most text is
-- plain: printable ASCII without repeated blanks. rca_lib.intake.value_standardization first creates the macro
-- replace_typographic_characters(v), the counterpart of str.translate, and the patterns.
create macro is_plain(v) as strlen(v) = length(v) and not regexp_matches(v, '[^ -~]|  |^ | $');
create macro clean_text(v) as case when is_plain(v) then v else nullif(regexp_replace(regexp_replace(nfc_normalize(
    regexp_replace(v, invisible_characters(), '', 'g')), whitespace_characters(), ' ', 'g'), invisible_ends(), '', 'g'), '') end;
create macro normalize_id(v) as case when is_plain(v) then v else replace_typographic_characters(clean_text(v)) end;
create macro strip_quotes(v) as case
    when left(v, 1) in ('"', '''') and right(v, 1) = left(v, 1) and length(v) >= 2 and not contains(v[2:-2], left(v, 1))
    then nullif(trim(v[2:-2]), '') else v end;
