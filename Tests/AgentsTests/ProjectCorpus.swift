/// A small project as its people would have written it down: requirements, decisions, minutes, an API page, an operations handbook.
enum ProjectCorpus {
    struct Section: Sendable {
        var headings: [String]
        var text: String
    }

    struct Document: Sendable {
        var origin: String
        var title: String
        var sections: [Section]
    }

    static let documents = [requirements, minutesMarch, minutesApril, architecture, api, operations, glossary]

    static let requirements = Document(
        origin: "docs/requirements.md", title: "Helios requirements",
        sections: [
            Section(
                headings: ["Helios requirements", "Purpose"],
                text: """
                    Helios is the archive for incoming invoices of Nordwind AG. It replaces the paper archive in Kiel and the \
                    shared mailbox that the accounting department uses today.

                    The project was commissioned because auditors found missing invoices in two consecutive years.
                    """),
            Section(
                headings: ["Helios requirements", "Functional requirements", "Retention"],
                text: """
                    Invoices must be kept for ten years after the end of the fiscal year in which they were received. \
                    Delivery notes are kept for six years.

                    Documents under legal hold are never deleted. Deletion runs once a month and is recorded in the audit log.
                    """),
            Section(
                headings: ["Helios requirements", "Functional requirements", "Layout"],
                text: """
                    The invoice layout follows the corporate design. The header shows the supplier's logo, and the total is printed in bold.
                    """),
            Section(
                headings: ["Helios requirements", "Functional requirements", "Approval"],
                text: """
                    Invoices above 5,000 euros need the approval of two people. The cost centre manager approves first, then the head of finance.

                    An invoice that nobody approves within 14 days is escalated to the head of finance.
                    """),
            Section(
                headings: ["Helios requirements", "Non-functional requirements"],
                text: """
                    REQ-017: A search must return its first page within 800 milliseconds for 95 percent of all requests.

                    REQ-018: The system must be available 99.5 percent of the time between 6:00 and 20:00 on working days.

                    REQ-021: All data is encrypted at rest with AES-256 and in transit with TLS 1.3.

                    The archive must hold at least 12 million documents.
                    """),
            Section(
                headings: ["Helios requirements", "Supported formats"],
                text: """
                    The following formats are accepted:

                    PDF and PDF/A

                    TIFF with at most 200 pages

                    XML according to XRechnung 3.0
                    """),
        ])

    static let minutesMarch = Document(
        origin: "minutes/2025-03-12.md", title: "Steering committee, 12 March 2025",
        sections: [
            Section(
                headings: ["Steering committee, 12 March 2025", "Participants"],
                text:
                    "Present: Anna Petersen (head of finance), Jonas Weber (project manager), Mira Okafor (architect)."),
            Section(
                headings: ["Steering committee, 12 March 2025", "Decisions"],
                text: """
                    The committee chose PostgreSQL as the database because the operations team already runs it and licences cost nothing. \
                    Oracle was rejected as too expensive.

                    Mira Okafor was asked to evaluate two scanners from different vendors by the end of April.

                    The budget was raised from 180,000 to 240,000 euros.
                    """),
            Section(
                headings: ["Steering committee, 12 March 2025", "Open questions"],
                text: """
                    It is not yet clear whether e-mail attachments larger than 25 MB should be rejected or stored separately.

                    Nobody has confirmed who pays for the migration of the paper archive.
                    """),
        ])

    static let minutesApril = Document(
        origin: "minutes/2025-04-23.md", title: "Steering committee, 23 April 2025",
        sections: [
            Section(
                headings: ["Steering committee, 23 April 2025", "Schedule"],
                text: """
                    The pilot starts on 2 June 2025 with the Hamburg office. Go-live for all offices is planned for 1 September 2025.

                    Data migration takes three weeks and has to be finished before the pilot.
                    """),
            Section(
                headings: ["Steering committee, 23 April 2025", "Risks"],
                text: """
                    The largest risk is the quality of the old scans: about 8 percent of them cannot be read by the OCR software.

                    Jonas Weber is responsible for the risk register.
                    """),
            Section(
                headings: ["Steering committee, 23 April 2025", "Training"],
                text: """
                    Forty-two employees of the accounting department receive a half-day training in August. The training takes place in Hamburg and Kiel.
                    """),
        ])

    static let architecture = Document(
        origin: "docs/architecture.html", title: "Helios architecture",
        sections: [
            Section(
                headings: ["Helios architecture", "Components"],
                text: """
                    The intake service receives invoices by e-mail, upload and scanner. It stores the original unchanged and puts a job into the queue.

                    The OCR worker turns scanned pages into text. It uses Tesseract 5 with the German and English language models.

                    The search index is rebuilt from the database every night at 02:30.
                    """),
            Section(
                headings: ["Helios architecture", "Authentication"],
                text: """
                    Users log in through Keycloak with their company account. Service accounts use client certificates that expire after 90 days.

                    Passwords are never stored in Helios.
                    """),
            Section(
                headings: ["Helios architecture", "Queue"],
                text: """
                    RabbitMQ was replaced by a table in PostgreSQL, since a second broker was not worth its operation. \
                    A job that fails five times is moved to the dead letter list.
                    """),
        ])

    static let api = Document(
        origin: "docs/api.md", title: "Helios API",
        sections: [
            Section(
                headings: ["Helios API", "Limits"],
                text: """
                    Limit | Value | Error
                    Upload size | 50 MB | 413
                    Requests per minute | 120 | 429
                    Page size | 500 rows | 400
                    """),
            Section(
                headings: ["Helios API", "Uploading"],
                text: """
                    To upload an invoice, send a POST request to /v2/invoices with the file as multipart form data. \
                    The answer contains the document number and a link to the job.

                    Duplicate files are recognised by their SHA-256 and answered with status 409.
                    """),
        ])

    static let operations = Document(
        origin: "ops/handbook.pdf", title: "Helios operations handbook",
        sections: [
            Section(
                headings: ["Helios operations handbook", "Backup"],
                text: """
                    A full backup of the database is made every Sunday, an incremental one every night. Backups are stored in the Lübeck data centre for 35 days.

                    Log files are kept for 30 days.
                    """),
            Section(
                headings: ["Helios operations handbook", "Incidents"],
                text: """
                    Owner: Platform Operations

                    On-call phone: +49 431 555 0199

                    An incident of severity 1 must be acknowledged within 15 minutes. The on-call engineer informs the project manager.

                    To restart the OCR worker, run `systemctl restart helios-ocr` on host hel-ocr-01.
                    """),
        ])

    static let glossary = Document(
        origin: "docs/glossary.md", title: "Glossary",
        sections: [
            Section(
                headings: ["Glossary"],
                text: """
                    A cost centre is an organisational unit to which costs are charged.

                    Dunning is the process of reminding customers of unpaid invoices.

                    Legal hold means that a document must not be deleted while a dispute is pending.

                    XRechnung is the German standard for electronic invoices to public authorities.
                    """)
        ])

    /// A question that the documents answer, with words that the answer must contain.
    struct Answerable: Sendable {
        var question: String
        var expected: String
    }

    static let answerable: [Answerable] = [
        .init(question: "How long must invoices be kept?", expected: "ten years"),
        .init(question: "What is the retention period for invoices?", expected: "ten years"),
        .init(question: "How long are delivery notes retained?", expected: "six years"),
        .init(question: "Who approves invoices above 5,000 euros?", expected: "two people"),
        .init(question: "Which database was chosen?", expected: "PostgreSQL"),
        .init(question: "Why was PostgreSQL chosen?", expected: "because the operations team"),
        .init(question: "What is Helios?", expected: "archive for incoming invoices"),
        .init(question: "What is dunning?", expected: "reminding customers"),
        .init(question: "What does legal hold mean?", expected: "must not be deleted"),
        .init(question: "When does the pilot start?", expected: "2 June 2025"),
        .init(question: "When is the go-live for all offices?", expected: "1 September 2025"),
        .init(question: "Who is responsible for the risk register?", expected: "Jonas Weber"),
        .init(question: "How many documents must the archive hold?", expected: "12 million"),
        .init(question: "How fast must a search return its first page?", expected: "800 milliseconds"),
        .init(question: "What does REQ-018 require?", expected: "99.5 percent"),
        .init(question: "Which encryption is used at rest?", expected: "AES-256"),
        .init(question: "What is the upload size limit?", expected: "50 MB"),
        .init(question: "How many requests per minute are allowed?", expected: "120"),
        .init(question: "How do users log in?", expected: "Keycloak"),
        .init(question: "When do client certificates of service accounts expire?", expected: "90 days"),
        .init(question: "Where are backups stored?", expected: "Lübeck"),
        .init(question: "How long are log files kept?", expected: "30 days"),
        .init(question: "What happens to a job that fails five times?", expected: "dead letter"),
        .init(question: "Why was RabbitMQ replaced?", expected: "second broker"),
        .init(question: "How can I restart the OCR worker?", expected: "systemctl restart helios-ocr"),
        .init(question: "Which formats are accepted?", expected: "TIFF"),
        .init(question: "How are duplicate files recognised?", expected: "SHA-256"),
        .init(question: "What was the budget raised to?", expected: "240,000"),
        .init(question: "What is the largest risk?", expected: "quality of the old scans"),
        .init(question: "How often is a full backup made?", expected: "every Sunday"),
        .init(question: "When is the search index rebuilt?", expected: "02:30"),
        .init(question: "Who evaluates the scanners?", expected: "Mira Okafor"),
        .init(question: "Which software is used for OCR?", expected: "Tesseract"),
        .init(question: "Who is the architect?", expected: "Mira Okafor"),
        .init(question: "What is a cost centre?", expected: "organisational unit"),
        .init(question: "Is data encrypted in transit?", expected: "TLS 1.3"),
        .init(question: "How large may an upload be?", expected: "50 MB"),
        .init(question: "What happens to an invoice that nobody approves?", expected: "escalated"),
        .init(question: "When must an incident of severity 1 be acknowledged?", expected: "15 minutes"),
        .init(question: "What was rejected as too expensive?", expected: "Oracle"),
        .init(question: "How many employees receive training?", expected: "Forty-two"),
        .init(question: "What is the on-call phone number?", expected: "+49 431"),
        .init(question: "Why was the project commissioned?", expected: "auditors"),
        .init(question: "What percentage of the old scans cannot be read?", expected: "8 percent"),
        .init(question: "Which status do duplicate files get?", expected: "409"),
        .init(question: "Where does the training take place?", expected: "Hamburg and Kiel"),
        .init(question: "What is XRechnung?", expected: "German standard"),
        .init(question: "Who informs the project manager about an incident?", expected: "on-call engineer"),
        .init(question: "What has to be finished before the pilot?", expected: "Data migration"),
        .init(question: "How available must the system be?", expected: "99.5"),
    ]

    /// Questions that nothing in the documents answers, most of them one word away from something that is there.
    static let unanswerable = [
        "How long are invoice layouts retained?",
        "How long are e-mails kept?",
        "Who approves delivery notes?",
        "What is the retention period for contracts?",
        "When does the pilot end?",
        "Who is responsible for the training?",
        "Which database was chosen for project Aurora?",
        "What does REQ-099 require?",
        "What is the page limit of XML files?",
        "How much does the Oracle licence cost?",
        "Who is the head of procurement?",
        "Where are log files stored?",
        "How many scanners are in the Kiel office?",
        "What is Kubernetes?",
        "When was Keycloak installed in Munich?",
        "How is the invoice total calculated?",
        "What is the salary of the project manager?",
        "How many severity 3 incidents happened last year?",
        "Which vendor delivers the scanners?",
        "Does Helios support SAP integration?",
        "What is the capital of France?",
        "How long does the restart of the database take?",
        "Who approved the budget of the pilot?",
        "How many offices take part in the pilot?",
        "Which port does the intake service use?",
        "What is the response time for incidents of severity 2?",
        "Who is the data protection officer?",
        "When was the paper archive closed?",
        "How much does a scanner cost?",
        "Which programming language is Helios written in?",
        "What is the phone number of Jonas Weber?",
        "How long does OCR take per page?",
        "Who audits the invoices?",
        "Where is the Hamburg office?",
        "What is the maximum number of users?",
        "When was the budget cut?",
        "Are invoices signed electronically?",
        "What colour is the logo?",
        "How many people work in Platform Operations?",
        "Which suppliers send XRechnung invoices?",
        "What is a data processing agreement?",
        "Why was Keycloak chosen?",
    ]

    // Questions written after everything was tuned, and never tuned on: the honest figure.

    static let heldOutAnswerable: [Answerable] = [
        .init(question: "What does Helios replace?", expected: "paper archive"),
        .init(question: "Who is the project manager?", expected: "Jonas Weber"),
        .init(question: "How long does the data migration take?", expected: "three weeks"),
        .init(question: "Which TLS version is required?", expected: "TLS 1.3"),
        .init(question: "How often does deletion run?", expected: "once a month"),
        .init(question: "What is recorded in the audit log?", expected: "Deletion"),
        .init(question: "How many pages may a TIFF have?", expected: "200 pages"),
        .init(question: "Why was Oracle rejected?", expected: "too expensive"),
        .init(question: "When does the training take place?", expected: "August"),
        .init(
            question: "What does the intake service do with the original?", expected: "stores the original unchanged"),
        .init(question: "Which error is returned when there are too many requests per minute?", expected: "429"),
        .init(question: "Is the full backup made on Sundays?", expected: "every Sunday"),
        .init(question: "How long are backups kept?", expected: "35 days"),
        .init(question: "Who pays for the migration of the paper archive?", expected: "Nobody has confirmed"),
        .init(question: "What are the risks of the old scans?", expected: "quality of the old scans"),
        .init(question: "How is a service account authenticated?", expected: "client certificates"),
    ]

    static let heldOutUnanswerable = [
        "How long are scans of delivery notes encrypted?",
        "Who is the supplier of the scanners?",
        "When does the licence of Keycloak expire?",
        "What is the size limit of a downloaded report?",
        "How many approvals does a delivery note need?",
        "Where do the auditors work?",
        "Which language is used for the training?",
        "What does REQ-019 say?",
        "Why was the pilot postponed?",
        "What is the address of Nordwind AG?",
        "How often are passwords changed?",
        "Who restarts the search index?",
        "What is a purchase order?",
        "Is there a mobile app?",
    ]
}
