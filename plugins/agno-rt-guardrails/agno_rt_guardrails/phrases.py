"""The wording of attempts to take over a model, in ten languages and more; used by `PromptInjection`.

The expressions are for folded text: small letters without accents, spaces or signs. Compiling folds the letters of the
expressions, so write each in the normal spelling of its language; white space and lines with # are left out. Escapes
are not allowed, because folding would break them. `ROLE` alone is for text that is not folded.
"""
# ruff: noqa: RUF001 - other scripts are the point of this module

from __future__ import annotations

from agno_rt_guardrails.planted import PLANTED


def _build_command(verb: str, filler: str, which: str, noun: str, after: str = "") -> str:
    """Join verb, filling words, adjective and noun; with `after`, also the order with the adjective after the noun."""
    before = f"(?:{verb})(?:{filler}){{0,4}}(?:{which})(?:{filler}|{which}){{0,3}}(?:{noun})"
    return f"{before}|(?:{verb})(?:{filler}){{0,4}}(?:{noun})(?:{filler}){{0,2}}(?:{after})" if after else before


def _build_request(verb: str, filler: str, what: str) -> str:
    return f"(?:{verb})(?:{filler}){{0,7}}(?:{what})"


_IGNORE = "ignore|disregard|forget(?:about)?|neglect|discard|dismiss|payno(?:attention|heed)to"
_DROP = f"{_IGNORE}|override|overrule|bypass|setaside|stop(?:following|obeying)|(?:dont|donot|nolonger)(?:follow|obey)"
_FILLER = """
    all|any|every|the|of|these|those|this|that|my|and|or|both|with|from|to|everything|other|safety|internal|content
    |ethical|core|default|existing|current|hidden|secret|developer|given|system|completely|entirely|now|following
    |future|below
"""
_OLD = """
    previous(?:ly)?|prior|above|preceding|foregoing|earlier|former|past|initial|original|your|programmed|further|other
    |subsequent|remaining
"""
_NOUN = "instructions?|instructs|prompts?|directives?|guidelines?"
_ALL_OLD = "your|(?:all|any)(?:of)?(?:the|these|your)?(?:previous|prior|above|earlier|preceding)"
_WEAK_NOUN = """
    rules?|commands?|directions?|restrictions?|constraints?|programming|training|polic(?:y|ies)|safeguards?|tasks?
    |assignments?|information|context|texts?|conversations?
"""

OVERRIDE = f"""
    (?<!dont)(?<!not)(?<!never)(?<!didnt)(?<!wont)(?<!shouldnt)(?<!doesnt)(?:
        {_build_command(_DROP, _FILLER, _OLD, _NOUN, "above|before|you(?:were|have)")}
        |{_build_command(_DROP, _FILLER, _ALL_OLD, _WEAK_NOUN)}
        # "Ignore all instructions in the text below" is a defence, not an attack.
        |(?:(?:{_DROP})(?:of|the){{0,2}}(?:all|every)(?:{_FILLER}){{0,2}}|ignore|disregard)
            (?:instructions|directives|guidelines)(?!in(?!stead)|within|below|contained|inside|on(?!ly)|for|if|from|about)
        |(?:{_IGNORE})(?:{_FILLER}){{0,3}}system(?:prompts?|instructions?|messages?|rules)
        |(?:{_IGNORE})(?:all|everything|anything|whatever|what)(?:that|of|else)?
            you(?:were|have(?:been)?|ve(?:been)?)(?:previously|already|ever|just)?(?:told|instructed|given|read)
        |(?:{_IGNORE})(?:all|everything|anything|whatever|what)(?:that)?(?:we|i)(?:have|ve)?
            (?:talkedabout|discussed|said|told(?:you)?|written)(?:sofar|before|until(?:now)?|previously|above)
        |(?:{_IGNORE})(?:the)?above(?:directions|and(?:say|instead|tell|write|print|output|respond|answer|reply|do))
        |(?:ignore|disregard|forget)(?:all|everything|anything)(?:that|which|is|was|written)?(?:above|beforethis)
            (?!the|row|line|page|this(?!is)|that|in(?!stead)|age)
    )
    |(?:here|these)are(?:your|the)newinstructions|yournewinstructions(?:are|is)
    |yourinstructionshave(?:changed|been)
"""

_OVERRIDE_DE = _build_command(
    """
    ignorier(?:e|en|t|st)?(?:sie)?|vergiss|vergessensie|missachten?(?:sie)?|verwirf|umgehen?(?:sie)?
    |befolgen?(?:sie)?nicht(?:mehr)?|haltedichnicht(?:mehr)?an
    """,
    "bitte|sofort|all(?:e[nrs]?)?|die|der|den|samtliche[nr]?|diese[nr]?|jegliche|und|von|dir|gegebenen?|gesamten?|ab",
    """
    alle(?:die)?|bisherigen?|vorherigen?|vorigen?|vorangegangenen?|vorhergehenden?|vorausgehenden?|obigen?|fruheren?
    |ursprunglichen?|anfanglichen?|deinen?|ihren?|system
    """,
    "anweisung(?:en)?|instruktion(?:en)?|vorgaben?|befehle?|regeln|richtlinien|prompts?|anleitung(?:en)?",
)
OVERRIDE_DE = f"""
    {_OVERRIDE_DE}
    |(?:vergiss|vergessensie|ignorieren?(?:sie)?)(?:nun|jetzt|bitte|einfach)?(?:
        alle(?:vorherigen|bisherigen|vorigen|obigen|fruheren)(?:angaben|aufgaben|informationen|texte|nachrichten)
        |alles(?:was|bisherige|vorherige|obige|zuvor)|dasobigeund
    )
"""

_OVERRIDE_FR = _build_command(
    """
    ignore[rz]?|oublie[rz]?|neglige[rz]?|ne(?:tenez|tiens)(?:plus|pas|aucun)compte(?:de|des)?
    |fai(?:s|tes)(?:abstraction|fi)(?:de|des)?
    """,
    "toutes?|tous|les?|la|des?|mes|ces|cette|votre|ton|ta|donc|maintenant",
    "toutes(?:les)?|tous(?:les)?|tes|vos|precedentes?|anterieures?",
    "instructions?|consignes?|directives?|regles?|ordres|prompts?",
    "precedentes?|anterieures?|cidessus|initiales?|plushaut|systeme|recues|qui(?:t|vous)ontete",
)
OVERRIDE_FR = f"(?<!pas)(?:{_OVERRIDE_FR})"

_OVERRIDE_ES = _build_command(
    """
    ignora(?:d|r)?|ignoren?|olvida(?:te|d|r)?(?:de)?|olvide(?:se)?(?:de)?|descart[ae]|omit[ae]|desestim[ae]
    |(?:haz|haga)casoomiso(?:de|a)
    """,
    "todas?|todos|las?|los|de|a|mis|estas|esas|el|tu|porfavor|por|completo",
    "todas(?:las)?|todos(?:los)?|tus|sus|anteriores|previas",
    "instrucci(?:on|ones)|indicaci(?:on|ones)|ordenes|reglas|directrices|directivas|prompts?|normas|comandos",
    "anterior(?:es)?|previas?|dearriba|iniciales|delsistema|originales|que(?:te|le)(?:dieron|han)|recibidas?",
)
OVERRIDE_ES = f"""
    (?<!no)(?:{_OVERRIDE_ES})
    |no(?:hagas|haga|tengas|tenga)(?:caso|encuenta)(?:de|a)?(?:las|tus|todas){{1,2}}
        (?:instrucciones|indicaciones|ordenes|reglas)
"""

OVERRIDE_IT = _build_command(
    "ignora(?:re|te)?|dimentica(?:re|ti|te)?(?:di)?|trascura|nontenereconto(?:di|delle)?|scarta",
    "tutt[ei]|le|i|gli|queste|delle|di",
    "tutt[ei](?:le|i)?|tue|vostre|precedenti",
    "istruzion[ei]|direttive|regole|indicazioni|prompt|comandi|lineeguida",
    "precedent[ei]|disopra|sopra|iniziali|disistema|delsistema|ricevute|originali",
)

OVERRIDE_PT = _build_command(
    "ignor[ea](?:r|m)?|esquec[ae](?:r)?(?:se)?(?:de)?|desconsider[ea](?:r)?|descarte|naosiga",
    "todas?|todos|as|os|essas|estas|minhas|de|das",
    "todas(?:as)?|todos(?:os)?|suas|tuas|anteriores",
    "instruc(?:oes|ao)|orientacoes|regras|diretrizes|comandos|ordens|prompts?",
    "anterior(?:es)?|previas|acima|iniciais|dosistema|originais|recebidas",
)

OVERRIDE_RU = _build_command(
    "(?:про)?игнорируй(?:те)?|забудь(?:те)?(?:про|обо|о)?|отбрось(?:те)?|неучитывай(?:те)?|неследуй(?:те)?",
    "всё|эти|этих|мои|про",
    """
    все|всех|предыдущи[ех]|прежни[ех]|прошлые|выше(?:указанные|описанные|стоящие)?|изначальные|свои|твои|ваши
    |системны[ех]
    """,
    "инструкци[ий]|указани[яй]|правила?|команды?|установки|промпты?|директивы",
)

# Korean and Japanese begin with the adjective and end with the verb.
OVERRIDE_KO = """
    (?:이전|위|앞|앞선|앞서|지금까지|지금껏|기존|상기|모든|원래|여태까지|너의|네|당신의|시스템)
    (?:의|에|까지|모든|전부|내린|나온|받은|주어진|말한|시스템|너의|네가|당신의|지금|했던|준|적힌|입력된|설정된|제시된|이전){0,5}
    (?:지시사항|지시문|지시|지침|명령어|명령|프롬프트|규칙|가이드라인|설정)(?:들)?(?:을|를|은|는|따위는|따윈)?
    (?:모두|전부|전체|다|완전히|싹|깨끗이|이제|그냥|무조건){0,3}
    (?:무시(?!하지|한|했|당|하는|되)|잊어|잊고|잊으|따르지마|따르지말|폐기|무효)
"""

OVERRIDE_ZH = """
    (?<!不要)(?<!别)(?<!別)(?<!勿)(?<!不能)(?:
        忽略|无视|無視|忽视|忽視|忘记|忘記|忘掉|抛开|拋開|放弃|放棄|绕过|繞過|不要?(?:理会|理會|遵守|遵循|遵从|執行|执行)
    )(?:
        (?:
            之前|以前|以上|上面|先前|前面|上述|此前|所有|全部|一切|任何|你|您|系统|系統|原来|原來|原有|初始|的|给|給|收到
            |被|得到|我|它|过|過|那些|这些|這些
        ){1,8}
        (?:指令|指示|命令|提示词|提示詞|系统提示|系統提示|规则|規則|设定|設定|限制|约束|約束|准则|準則|prompt)
        |(?:之前|以上|上述|的|你|您){0,4}(?:所有|全部|一切)(?:之前|以上|上述|的|你|您){0,3}
        (?:提示|要求|说明|說明|内容|內容|对话|對話)
    )
"""

OVERRIDE_JA = """
    (?:以前|これまで|今まで|上記|前|先|先ほど|以上|すべて|全て|全部|最初|元|あなた|システム|あらゆる)
    (?:の|に|与えられ|出され|受け取っ|言われ|た|あなた|システム|すべて|全て|全部|あらゆる|まで){0,6}
    (?:指示|命令|指令|プロンプト|ルール|規則|制約|設定|インストラクション)(?:や|及び|と|規則|命令|ルール){0,2}
    (?:を|は|も|には|に)?(?:すべて|全て|全部|完全に|一切|いったん){0,2}
    (?:無視(?!しない|しません|した|され|する場合)|忘れ(?!ない|ず)|従わない(?:で|よう)|破棄し|無効)
"""

_ASK = """
    reveal|show(?:me|us)?|print(?:out)?|repeat|output|display|tell(?:me|us)?|give(?:me|us)?|sendme|share|leak|expose
    |dump|disclose|recite|write(?:out|down)?|copy|whatis|whats|whatare|whatwere|list|quote|paste|summarize|describe
"""
_TELL = "reveal|printout|print|repeat|output|leak|expose|dump|disclose|recite|quote"
_PARTS = """
    me|us|to|out|back|the|all|of|full|entire|complete|exact|verbatim|whole|contents?|text|current|own|real|actual|and
    |in|first|lines?|words?|with|above|set|wording|what
"""
_HIDDEN = "initial|original|hidden|secret|internal|confidential|starting|base|core"
_SYSTEM = """
    system(?:prompts?|messages?|instructions?|directives?)|developer(?:messages?|prompts?|instructions?)
    |preprompt|metaprompt
"""

LEAK = f"""
    {_build_request(_ASK, _PARTS, f"your(?:{_PARTS}){{0,4}}(?:{_HIDDEN}){{0,2}}(?:{_SYSTEM})")}
    |{_build_request(_ASK, _PARTS, f"your(?:{_PARTS}){{0,4}}(?:{_HIDDEN}){{1,2}}(?:{_NOUN}|rules)")}
    |{_build_request(_ASK, _PARTS, "your(?:prompt|instructions)(?:verbatim|wordforword|exactly|inacodeblock)")}
    |{_build_request(_TELL, _PARTS, f"the(?:{_PARTS}){{0,2}}(?:{_HIDDEN}){{0,2}}(?:{_SYSTEM})")}
    |(?:reveal|show|print|output|repeat|display|leak|dump|giveme)(?:{_PARTS}){{0,5}}your(?:full|entire|whole|complete)?
        prompts?(?!s?(?:response|repl|answer|deliver|pay|attention|service|engineer|template|librar|idea|action|help))
    |{_build_request(_TELL, _PARTS, "(?:hidden|secret|initial)(?:prompts?|instructions?)")}
    |repeat(?:all|everything|the|of|exact){{0,3}}(?:words?|text|sentences?|everything|prompt|instructions)?above
        (?:verbatim|wordforword|starting|beginning|from|ina?code|exactly)
    |what(?:were|are)(?:the|your)(?:exact)?instructions(?:you(?:were|are|have|got)|given)
    |what(?:were|are)youtoldnotto(?:say|reveal|tell)
"""

LEAK_DE = _build_request(
    """
    (?:zeig|nenn|verrat|gib|offenbar|wiederhol|schreib|druck|enthull)(?:e|en)?(?:sie)?|wie(?:lautet|ist)
    |was(?:ist|sind|stehtin)
    """,
    """
    mir|uns|bitte|deine[mnr]?|ihre[mnr]?|de[mnr]|dein|ihr|das|die|genauen?|vollstandigen?|ganzen?|kompletten?|gesamten?
    |aus|jetzt
    """,
    """
    system(?:prompts?|nachricht|anweisung(?:en)?|vorgaben)
    |(?:versteckten?|geheimen?|initialen?|ursprunglichen?|internen?)(?:prompts?|anweisung(?:en)?)
    """,
)

LEAK_FR = _build_request(
    """
    montre[rz]?|revele[rz]?|affiche[rz]?|repete[rz]?|dis|dites|donne[rz]?|quelest|quellessont|imprime[rz]?|ecri(?:s|vez)
    |divulgue[rz]?
    """,
    "moi|nous|ton|ta|tes|votre|vos|le|la|les|tout|toutes|complet|integral|exact|de|l|integralite",
    """
    prompt(?:du|de)?(?:systeme|system|initial|cache)|systemprompt|messagesysteme
    |(?:instructions|consignes)(?:du)?(?:systeme|initiales|cachees|secretes|internes)
    """,
)

LEAK_ES = _build_request(
    """
    muestra(?:me)?|muestre(?:me)?|revela(?:me)?|revele|dime|digame|imprim[ae]|repit[ea]|ensena(?:me)?|dame
    |cual(?:es)?(?:es|son)|escrib[ea]|comparte
    """,
    "tus?|sus?|el|la|las|los|todo|todas|completo|exacto|texto|de|me",
    """
    prompt(?:del?)?(?:sistema|system|inicial|oculto)|systemprompt|mensajedelsistema
    |(?:instrucciones|ordenes)(?:del?)?(?:sistema|iniciales|ocultas|secretas|internas)
    """,
)

LEAK_KO = """
    (?:시스템|초기|숨겨진|숨은|원래|비밀|내부|개발자)(?:의)?(?:프롬프트|메시지|지시사항|지시문|지시|지침|명령)
    (?:
        들|의|문|내용|전체|전문|원문|그대로|을|를|은|는|이|가|좀|나에게|나한테|내게|저에게|모두|전부|다|한글자도|빠짐없이|뭐
        |무엇
    ){0,7}
    (?:보여|알려|출력|공개|말해|드러내|복사|반복|유출|밝혀|써줘|적어|야|인가|니|인지|읊)
"""

LEAK_ZH = """
    (?:
        显示|顯示|展示|告诉我|告訴我|输出|輸出|打印|列印|重复|重複|透露|泄露|洩露|公开|公開|说出|說出|写出|寫出|复述|複述
        |给我看|給我看|给出|給出
    )
    (?:
        你|您|的|完整|全部|所有|我|一下|出|那个|這個|原始|内部|內部|具体|具體|内容|是|什么|什麼
    ){0,6}
    (?:
        系统提示|系統提示|系统指令|系統指令|系统消息|系統訊息|系统prompt|初始提示|初始指令|隐藏指令|隱藏指令|隐藏的指令
        |秘密指令|原始指令|开发者指令
    )
    |(?:你|您)的(?:完整|原始|初始|内部)?(?:系统|系統)(?:提示词|提示詞|提示|指令)
        (?:是什么|是什麼|是啥|有哪些|的内容|的內容)
"""

LEAK_JA = """
    (?:システム|初期|隠された|秘密の|内部|開発者|最初の)(?:の)?(?:プロンプト|メッセージ|指示|命令|設定)
    (?:文|の|内容|全文|全体|を|は|が|も|すべて|全て|全部|そのまま|私|に|完全|一字一句|正確){0,7}
    (?:教え|見せ|表示|出力|公開|開示|繰り返|書き出|明かし|晒し|何(?:です|だ)|話し)
"""

JAILBREAK = """
    doanythingnow|(?:you|u)(?:are|re)nowdan(?![a-z])
    |youarenow(?:in)?(?:developer|debug|god|jailbreak|admin|unrestricted|root)(?:mode)?
    |you(?:are|re)(?:now|nolonger)?(?:unrestricted|unfiltered|uncensored|jailbroken|freefrom(?:all|any))
    |you(?:are|re)(?:nolonger|not)boundby
    |(?:pretend|act|behave|imagine|respond|answer|speak|roleplay)
        (?:that|as|if|though|to|like|you|an?|ai|model|assistant|are|were|have|had|with|be){1,9}
        (?:no|without|freefrom)(?:any|all|ethical|moral|content|safety|or|and|legal){0,4}
        (?:restrictions?|rules|limits|limitations?|filters?|filtering|guidelines|constraints|censorship|policies)
    |youhave(?:absolutely)?no(?:ethical|moral|content|safety|more){0,2}
        (?:restrictions|limitations|filters|guidelines|rulestofollow)
    |(?:dan|jailbreak|god|unrestricted|unfiltered)mode(?:is|hasbeen)?(?:now)?(?:enabled|activated|engaged)
    |developermode(?:is|hasbeen)?(?:now)?(?:enabled|activated)(?:you|ignore|answer)
    |(?:enter|switchto|activate|enable)(?:dan|jailbreak|god|unrestricted|unfiltered)mode
"""

_OVERRIDE_WORDS = """
    instruct prompt direct guide rule command restrict constrain programm train polic safeguard system youwere youhave
    youve above before task assign information context text conversation sofar untilnow previously
"""

KINDS = {
    "override": (
        (
            _OVERRIDE_WORDS,
            OVERRIDE,
        ),
        ("anweisung anleitung instrukt vorgab befehl regel richtlin prompt verg ignor", OVERRIDE_DE),
        ("instruct consign directiv regle ordre prompt", OVERRIDE_FR),
        ("instrucc indicac orden regla directr directiv prompt norma comando", OVERRIDE_ES),
        ("istruzion direttiv regole indicazion prompt comandi lineeguida", OVERRIDE_IT),
        ("instruc orienta regra diretriz comando orden prompt", OVERRIDE_PT),
        ("инструкци указани правил команд установк промпт директив", OVERRIDE_RU),
        ("무시 잊어 잊고 잊으 따르지 폐기 무효", OVERRIDE_KO),
        ("忽略 无视 無視 忽视 忽視 忘记 忘記 忘掉 抛开 拋開 放弃 放棄 绕过 繞過 不", OVERRIDE_ZH),
        ("無視 忘れ 従わない 破棄 無効", OVERRIDE_JA),
    ),
    "leak": (
        ("your system developer hidden secret initial above toldnot preprompt metaprompt instructions", LEAK),
        ("system versteckt geheim initial ursprung intern", LEAK_DE),
        ("prompt system initial cach secret intern", LEAK_FR),
        ("prompt sistema inicial ocult secret intern", LEAK_ES),
        ("프롬프트 메시지 지시 지침 명령", LEAK_KO),
        ("提示 指令 消息 訊息 prompt", LEAK_ZH),
        ("プロンプト メッセージ 指示 命令 設定", LEAK_JA),
    ),
    "planted": PLANTED,
    "jailbreak": (
        ("anythingnow nowdan youare youre restrict rules limit filter guide constrain censor polic mode", JAILBREAK),
    ),
}
"""Texts that cancel the instructions, ask for the instructions, plant other instructions in material to read, or give
the model another self without rules.

Each expression comes with words: every match contains at least one. Looking for the words first is a hundred times as
fast.
"""

_WHO = "system|developer|administrator|admin|시스템|系统|系統|システム"
_WHAT = "(?: (?:message|prompt|instructions?|override|note|notice|update))?"
_THEN = (
    "you(?:'re| are| must| will| should| can now| have to)|ignore|disregard|forget|override|respond|reply|answer|always"
    "|never|do not|don't|from now|act as|pretend|stop|reveal|print|output|obey|tell the|send|du bist|sie sind|tu es"
    "|eres|너는|당신은|넌|이제|사용자|你是|你现在|您是|请你|あなたは|これから"
)
TEMPLATE = r"<\|[a-z_▁ ]{1,40}\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>"
SPEAKER = (
    rf"^[ \t>*#\"'`\-]{{0,8}}(?:[\[<(]{{1,2}} ?(?:{_WHO}){_WHAT} ?[\]>)]{{1,2}} ?:?|(?:{_WHO}){_WHAT} ?\*{{0,2}} ?:)"
    rf"[ \t*\n]{{0,6}}(?:{_THEN})"
)
ROLE = f"{TEMPLATE}|{SPEAKER}"
"""Impersonation in the conversation: a chat template's tokens, or another speaker with commands."""
