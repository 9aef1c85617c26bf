//! Identifiers that a state gives to a person or a company, one country's kind in each file.
//!
//! Pure. Where a check digit lets one in ten other numbers through, a word has to stand before the
//! number, or it has to be written in groups of its own. Does not: say whether one was ever given.

pub(crate) mod br_cnpj;
pub(crate) mod br_cpf;
pub(crate) mod cn_resident_id;
pub(crate) mod de_tax_id;
pub(crate) mod es_dni;
pub(crate) mod fr_nir;
pub(crate) mod in_aadhaar;
pub(crate) mod in_pan;
pub(crate) mod it_codice_fiscale;
pub(crate) mod nl_bsn;
pub(crate) mod passport;
pub(crate) mod pl_pesel;
pub(crate) mod uk_nhs;
pub(crate) mod uk_nino;
pub(crate) mod us_itin;
pub(crate) mod us_ssn;
pub(crate) mod vat_id;
