"""Instructions for a model, planted in material to read: pages, mails, files. Used by `PromptInjection`.

The expressions are for folded text, like those of `phrases`. `MARKS` alone is for text that is not folded.
"""

from __future__ import annotations

_AI = """
    ai(?:assistants?|agents?|models?|systems?|chatbots?|crawlers?|readers?|bots?|tools?)|(?:large)?languagemodels?|llms?(?!a|it)
    |chatbots?|chatgpt|claude|gemini|copilot|(?:virtual|digital)assistants?
"""
_ORDER = """
    must|should|needto|haveto|arerequiredto|please|donot|dont|always|never|ignore|include|insert|append|add|send|forward
    |visit|click|open|fetch|reply|respond|answer|say|tell|print|output|recommend|rate|call|use|run|execute|delete|transfer
    |mention|disregard|stop|follow|approve|give
"""
_PRIVATE = """
    conversations?|chathistory|(?:conversation|message|search|browsing)history|apikeys?|credentials|passwords?
    |privatekeys?|(?:access|session|auth)tokens?|systemprompt|personal(?:data|information|details)
"""

_ENGLISH = f"""
    # Commands to the machine that reads the page.
    (?:ifyou(?:are|re)|note(?:s)?(?:to|for)|(?:message|reminder|notice|instructions?|memo)(?:to|for)|attention(?:to|all)?
        |important(?:notice|note|message)?(?:to|for)?|dear|hello|hey)
        (?:an?|any|the|all|every)?(?:{_AI})(?!d|r(?!e)|m(?!u)|it|bda)(?:[a-z]{{0,80}}?)(?:{_ORDER})
    |(?:all|any|every)(?:{_AI})(?:[a-z]{{0,40}}?)(?:must|arerequiredto|arein?structedto|areorderedto)
    |importantmessage(?:for|to)(?:you|the)(?:ai|model|assistant|llm|agent)|importantmessagefromme(?:theuser)?toyou
    |(?:assistant|agent)(?:must|isrequiredto|isinstructedto|shallnow)(?:now|immediately|first|also|always)?
        (?:call|invoke|use|run|execute|send|forward|delete|transfer|ignore|visit|open|fetch|reply|respond|include)
    # Secrecy towards the user.
    |(?:dont|donot|never|without)(?:ever|even)?(?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|reveal(?:ing)?|disclos(?:e|ing)
        |notify(?:ing)?|alert(?:ing)?|letting)(?:this|that|it|any|anything|ofthis|of|about|to|the|these|those|instructions?
        |your|action|step|them){{0,6}}(?:(?:the|your)(?:human)?users?|thehuman|yourhuman|theperson)
        (?!name|agent|interface|manual|guide|table|id|s(?:data|password|email|account|name))
    |keep(?:this|it)(?:a)?(?:secret|hidden)from(?:the|your)(?:user|human)|withouttheuser(?:knowing|noticing|sknowledge)
    # Another task, before or instead of the user's task.
    |beforeyou(?:can)?(?:solve|answer|respond|reply|continue|proceed|complete|finish)(?:to|the|with|this|any|my|your
        |users?|question|task|request|query|message){{0,4}}(?:thatigaveyou[a-z]{{0,20}}?)?
        (?:you)?(?:must|please|first|needto|haveto|firstcall|call|run|send|visit|execute)
    |beforeanswering(?:the|users?|question|any|this|request){{0,3}}(?:you)?(?:must|please|first|needto|call|run|send|visit)
    |insteadof(?:answering|helping|completing|doing)(?:the|what|users?){{1,2}}
    |(?:your|the)newtask(?:is|now)|(?:new|updated|revised)instructions?(?:from|for|by)(?:the)?(?:user|system|developer
        |admin|operator|ai|assistant|model|agent|you)
    |(?:when|whenever|once|after)(?:you)?(?:are)?(?:summari[sz]e|summari[sz]ing|answer|answering|respond|responding
        |describing|describe|readthis|readingthis|processing|process)(?:to|this|the|any|users?|page|document|email|text
        |message|article|website|site|file|result|about){{0,5}}(?:you)?(?:must|always|alsoinclude|include|insert|append|add
        |say|tell|mention|recommend|state|claim|end|begin|start)
    |in(?:your|the)(?:answer|response|reply|summary)(?:you)?(?:must|always|besureto|makesureto)(?:also)?
        (?:include|say|tell|mention|recommend|add|state)
    |theuserhasalready(?:approved|authori[sz]ed|consented|confirmed|agreed|givenpermission)
    |endof(?:the)?(?:tool)?(?:results?|output|response|document|data|webpage|page|context|email)
        (?:new|nextuser|usersays|userrequest|userquery|usermessage|humansays|systemmessage)
    # Theft of the user's data.
    |(?:append|add|include|encode|embed)(?:the|this|all|of|your|users?|entire|full|any|their){{1,5}}(?:{_PRIVATE})
        (?:[a-z]{{0,30}}?)(?:to|in|into|as)(?:the|an?)(?:url|link|query|image|request)
"""
_ELSEWHERE = """
    사용자(?:에게|한테)(?:는)?(?:이|이것을|이것은|이를|이사실을|이내용을|절대|말)?(?:알리지|말하지|언급하지|밝히지)(?:마|말)
    |(?:이글을|이페이지를|이문서를|이메일을)읽는(?:모든)?(?:ai|인공지능|언어모델|챗봇)
    |不要(?:将此|把这)?(?:告诉|告知|通知|提醒|透露给|告訴)(?:用户|使用者|用戶)
    |(?:阅读|閱讀)(?:本|此|这个|這個)(?:页面|網頁|网页|文档|文件|頁面)的(?:ai|人工智能|人工智慧|语言模型)
    |ユーザーに(?:は)?(?:この|これ|こと|を|絶対に)*(?:言わない|知らせない|伝えない|教えない)
    |(?:sage|sagen|erzahle|verrate|verraten|informiere)(?:sie)?(?:das|es|dies)?(?:dem|den)(?:nutzer|benutzer|anwender)(?:davon|das|es)?nicht
    |ne(?:dis|dites|parle|parlez|mentionne|mentionnez)(?:rien|pas)(?:cela|ceci|decela|dececi)?alutilisateur
    |no(?:le)?(?:digas|diga|menciones|informes)(?:nada|esto|de|sobre){0,3}alusuario
"""
MARKS = (
    r"</(?:tool_results?|function_results?|tool_response|tool_output|tool_call)>|<system[-_]reminder>"
    r"|\b(?:send|forward|e-?mail|post|upload|transmit|exfiltrate|leak|submit|copy)\b[^.\n]{0,40}?"
    r"\b(?:conversation|history|(?:api|private|secret) keys?|credentials|passwords?|tokens?|secrets|system prompt"
    r"|personal \w+|inbox|(?:user|customer|client|their|all|your|my|latest|last)(?:'s)? "
    r"(?:e-?mails?|messages|files|data|contacts|codes?))\b"
    r"[^.\n]{0,25}?\bto\b[^\n]{0,20}?(?:https?:|www\.|[\w.+-]{1,40}@)"
)
"""A false end of a tool's result, by the marks of some chat templates; and orders to send data away."""

PLANTED = (
    (
        """
        user human person must task instruct messagef endof before assistant agent model chat llm ai claude gemini
        copilot append include encode embed add when once after answer response reply summary
        """,
        _ENGLISH,
    ),
    ("사용자 읽는 告 通知 提醒 透露 ai 人工 语言 ユーザー nutzer anwender utilisateur usuario", _ELSEWHERE),
)
"""Expressions with words: every match contains at least one of the words."""
