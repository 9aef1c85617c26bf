//! The words that say what a number near them is, in some fifty languages.
//!
//! A dash in a word stands for a space. Case is ignored.

/// Words for a telephone, which may stand as a label before a number. `*` at the end: the word may
/// go on; at the beginning: it may end a longer one.
pub(crate) const LABELS: &str = "\
    ☎ phone* *phone telephone* tel cellphone cellular mobile* mob fax* msisdn* hotline* \
    landline* ph telefon* *telefon fon handy* *handy mobil* rufnummer* durchwahl festnetz* \
    telefoon* téléphone* telephon* tél portable* gsm teléfono* telefono* móvil* movil* celular* \
    tlf tfno telf fijo telefone* telemóvel fone cellulare* mobiel* komórk* numer-telefonu \
    telefonu telefón* mobilen mobilnr telnr puhelin* puh matkapuhelin* kännykkä* телефон* тел \
    моб мобил* номер-телефона факс* телефону мобіл* telefonum telefonszám* mobilszám* τηλέφωνο* \
    τηλέφων* τηλ κινητό* κινητο* τηλεφων* τηλεφών* телефонен mobitel* broj-telefona tālrunis \
    tālr símanúmer هاتف* الهاتف* موبایل* جوال* الجوال* موبايل* تلفون* تلفن* همراه* شماره-تلفن* \
    شماره-تماس* فون* موبائل* *טלפון* *נייד* פלאפון* טל फोन* फ़ोन* मोबाइल* মোবাইল* ফোন* \
    தொலைபேசி* ஃபோன்* போன்* மொபைல்* கைபேசி* ഫോൺ* മൊബൈൽ* ಫೋನ್* ಮೊಬೈಲ್* మొబైల్* ફોન* મોબાઇલ* 电话* \
    電話* 手机* 手機* 座机* 传真* 傳真* 热线* 熱線* 携帯* TEL ファックス* ファクス* お電話* スマホ* 전화* 휴대폰* 핸드폰* 팩스* 휴대전화* 모바일* \
    โทร* มือถือ* เบอร์* điện-thoại* đt sđt di-động telepon* telpon* telp selfoon foon telèfon \
    mòbil hp ponsel* nomor-hp nombor-telefon simu telefoni";

/// Other words that go with telephone numbers.
pub(crate) const PHONE: &str = "\
    cell *fax call calls called calling callback sms txt texted telegram whatsapp* viber dial* \
    ring rings voicemail pager text-me text-us text-or or-text can-text please-text text-at \
    contact-number contact-no contact-us reach-me reach-us reached-at reach reachable my-number \
    my-no number-is contact helpline switchboard rückruf* kontakt anrufen ruf rufen rufe \
    erreichbar erreichen meine-nummer nummer-ist nummer-lautet appelez appeler appelle \
    appelez-moi joindre joignable numéro-est mon-numéro llámame llamame llámenos llame llamar \
    llama llamada* llamen mi-número número-es ligue ligar liga-me me-liga meu-número meu-numero \
    contacto contato zap mio-numero nummer-is nummer-er nummer-är mijn-nummer mitt-nummer \
    min-nummer mój-numer moje-číslo numărul-meu numarul-meu мой-номер* мій-номер* моего-номер* \
    chiamare chiamami chiamatemi chiama chiamate recapito* cel bel bellen bereikbaar bereiken \
    pod-nr pod-numer* zadzwoń* zadzwon* dzwonić dzwoń* dzwon* kom zavolejte volejte zavolajte \
    volajte nás-na nummeret ringa ringe nå-mig nå-meg nås ring-mig soita* soittaa numeroni \
    сотов* позвон* звон* дзвон* набер* вайбер ватсап* cep* ara arayın arayin arayabilirsiniz \
    numaram hívj* hívás* sunaț* sunat* sună suna apelaț* καλέστε καλεστε обадете* zovite \
    nazovite pozovite pokličite skambink* paskambink* zvaniet helista* sími hringdu اتصل* رقمي \
    واتساب* للتواصل تماس* شماره-من* התקשר* המספר-שלי* कॉल* संपर्क* मेरा-नंबर* আমার-নম্বর* \
    அலைபேசி* ਫ਼ੋਨ* ਫੋਨ* ਮੋਬਾਈਲ* मोबाईल* දුරකථන* ဖုန်း* ទូរស័ព្ទ* ໂທ* ስልክ* утас* ტელ* მობ* հեռ* \
    అ.ఫోన్ ఫోన్* 我的号码* 我的號碼* 号码是* 號碼是* 致电* 致電* 拨打* 撥打* 来电* 來電* 專線* 联系* 聯絡* 聯繫* 打给* 連絡先* 대표번호* \
    연락처* 연락* 문의* 번호는* gọi* hotline số-máy liên-hệ nomor-saya hubungi* wa tawag* tawagan namba \
    nambari piga";

/// Identifier words.
pub(crate) const IDENTIFIER: &str = "\
    order* ticket* invoice* id ids ref reference* case account* acct serial* sku isbn issn \
    part-no tracking* confirmation* booking* transaction* txn txid customer-id customer-no \
    client-id member-id policy-number claim* batch* lot model version* build* pid part-number \
    model-number item-number lot-number uuid guid epoch timestamp* unix ts ssn vat tax* iban \
    bic card* po zip postcode postal passport* licence* license* dns soa ean gtin upc imei imsi \
    iccid mac doi pmid arxiv issue bug commit error errno code* nhs p/n fødselsnummer fødselsnr \
    catalog* catalogue* cpr license-key licence-key quote* shipment* parcel* student* employee* \
    member* latitude longitude lat lon lng price* total amount* balance invoice-no document* \
    doc file row line page chapter section hash checksum offset size bytes length count seq \
    sequence session* request* trace* span* job* build-number revision rev bestell* bestellung* \
    auftrag* rechnung* kundennummer* kunden-nr aktenzeichen az vorgang* vertrags* sendungs* \
    artikel* serien* steuer* ausweis* vorgangsnummer kontonummer* konto* referenz* mitglieds* \
    fallnummer commande* facture* dossier* référence* siret siren client-n° réservation* colis \
    contrat* pedido* factura* expediente* dni nif cif referencia* reserva* albarán seguimiento \
    cuenta* boleta cédula rut fatura* cpf cnpj nota-fiscal encomenda* boleto* protocolo* rg \
    processo* ordine* fattura* pratica codice* conto bestelnummer* factuur* klantnummer* \
    rekening* zamówieni* zamowieni* faktura* fakturanummer nip pesel regon przesyłk* konta \
    objednávk* objednavk* faktúr* ičo beställning* ordernummer* ordrenummer* kundnummer* \
    personnummer* tilaus* lasku* viitenumero* заказ* счет* счёт* инн снилс артикул* замовлен* \
    рахун* паспорт* договор* трек* накладн* sipariş* siparis* müşteri* takip* tc-kimlik \
    rendelés* számla* comand* comenzi factură* παραγγελία* τιμολόγιο* αφμ 订单* 訂單* 发票* 發票* 编号* \
    編號* 单号* 單號* 身份证* 身分證* 账号* 帳號* 账户* 流水号* 快递* 运单* 快遞* 運單* 会员号* 會員號* 会员编号* 工号* 学号* 注文* 伝票* 請求書* \
    会員番号* 受付番号* 口座* 管理番号* 追跡* 品番* お客様番号* 問い合わせ番号* 주문* 송장* 계좌* 사업자* 고객번호* 접수번호* 운송장* 예약번호* 주민* \
    mã-đơn* đơn-hàng* hóa-đơn* pesanan* faktur* resi invois طلب* الطلب* الطلبات التتبع تتبع* \
    الشحنة شحنة* سفارش* پیگیری* کد-ملی فاتورة* الفاتورة* حساب* שובר* הזמנה* חשבונית* ऑर्डर* \
    ट्रैकिंग* ग्राहक* खाता-संख्या* आदेश* चालान* খাতা* অর্ডার* คำสั่งซื้อ* ออเดอร์* ใบแจ้งหนี้*";

/// Telephone words that names in programs and of files are full of: "SQ_RING: u32 = 134217728",
/// "a.txt".
pub(crate) const IN_NAMES: &[&str] = &["call", "calls", "ring", "rings", "cell", "txt"];

/// Words that speak of any number: of a telephone only behind one of [`OWNERS`].
pub(crate) const NUMBER_IS: &[&str] = &[
    "number-is",
    "nummer-ist",
    "nummer-lautet",
    "nummer-is",
    "nummer-er",
    "nummer-är",
    "número-es",
    "numéro-est",
];

/// Words before "number is" that do not say which number: "my number is", not "my order number is".
pub(crate) const OWNERS: &[&str] = &[
    "my",
    "the",
    "his",
    "her",
    "our",
    "your",
    "their",
    "this",
    "that",
    "whose",
    "new",
    "old",
    "home",
    "work",
    "office",
    "direct",
    "personal",
    "private",
    "business",
    "best",
    "current",
    "emergency",
    "and",
    "meine",
    "deine",
    "ihre",
    "seine",
    "unsere",
    "die",
    "neue",
    "private",
    "mi",
    "tu",
    "su",
    "nuestro",
    "el",
    "nuevo",
    "mon",
    "ton",
    "son",
    "notre",
    "votre",
    "le",
    "nouveau",
    "mijn",
    "jouw",
    "je",
    "zijn",
    "haar",
    "ons",
    "onze",
    "uw",
    "het",
    "nieuwe",
    "mitt",
    "ditt",
    "hans",
    "hennes",
    "vårt",
    "min",
    "din",
    "mit",
    "dit",
];
