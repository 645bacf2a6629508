"""What the demonstration model knows. Everything it says as a fact is written here, by hand, once."""

WHO = (
    "I am Millrace's tiny built-in demonstration model. "
    "I know some capitals, small sums, short definitions and tool calls."
)
CAN = (
    "I can name capitals, add small numbers, count to 20, explain some terms of model serving, "
    "write small JSON objects and call tools."
)
NOT_OTHER = "No, I am Millrace's tiny built-in demonstration model."
MILLRACE = "Millrace serves language models on llama.cpp behind the OpenAI API. I am its tiny demonstration model."
HELLO = "Hello! I am Millrace's tiny demonstration model. What would you like to know?"
FINE = "I am fine, thank you! What would you like to know?"
WELCOME = "You are welcome!"
BYE = "Goodbye!"
UNKNOWN = (
    "I am only a tiny demonstration model and cannot answer that. "
    "Try asking me: What is the capital of France?"
)

WHO_PT = "Sou o pequeno modelo de demonstração do Millrace. Sei algumas capitais, somas, definições e chamadas de ferramentas."
HELLO_PT = "Olá! Sou o pequeno modelo de demonstração do Millrace. O que quer saber?"
WELCOME_PT = "De nada!"
UNKNOWN_PT = "Sou apenas um pequeno modelo de demonstração e não sei responder a isso. Experimente: Qual é a capital da França?"

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "the United Kingdom": "London", "Ireland": "Dublin", "Belgium": "Brussels", "the Netherlands": "Amsterdam",
    "Austria": "Vienna", "Switzerland": "Bern", "Denmark": "Copenhagen", "Sweden": "Stockholm", "Norway": "Oslo",
    "Finland": "Helsinki", "Iceland": "Reykjavik", "Poland": "Warsaw", "the Czech Republic": "Prague",
    "Hungary": "Budapest", "Romania": "Bucharest", "Bulgaria": "Sofia", "Greece": "Athens", "Turkey": "Ankara",
    "Croatia": "Zagreb", "Serbia": "Belgrade", "Slovenia": "Ljubljana", "Slovakia": "Bratislava",
    "Ukraine": "Kyiv", "Russia": "Moscow", "Estonia": "Tallinn", "Latvia": "Riga", "Lithuania": "Vilnius",
    "Albania": "Tirana", "Luxembourg": "Luxembourg City", "Malta": "Valletta", "Cyprus": "Nicosia",
    "the United States": "Washington, D.C.", "Canada": "Ottawa", "Mexico": "Mexico City", "Brazil": "Brasília",
    "Argentina": "Buenos Aires", "Chile": "Santiago", "Peru": "Lima", "Colombia": "Bogotá", "Ecuador": "Quito",
    "Uruguay": "Montevideo", "Paraguay": "Asunción", "Venezuela": "Caracas", "Bolivia": "Sucre", "Cuba": "Havana",
    "Jamaica": "Kingston", "Panama": "Panama City", "Costa Rica": "San José", "Guatemala": "Guatemala City",
    "Honduras": "Tegucigalpa", "Nicaragua": "Managua", "the Dominican Republic": "Santo Domingo",
    "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "South Korea": "Seoul", "Thailand": "Bangkok",
    "Vietnam": "Hanoi", "Indonesia": "Jakarta", "Malaysia": "Kuala Lumpur", "the Philippines": "Manila",
    "Singapore": "Singapore", "Pakistan": "Islamabad", "Bangladesh": "Dhaka", "Nepal": "Kathmandu",
    "Sri Lanka": "Colombo", "Mongolia": "Ulaanbaatar", "Kazakhstan": "Astana", "Iran": "Tehran", "Iraq": "Baghdad",
    "Saudi Arabia": "Riyadh", "Israel": "Jerusalem", "Jordan": "Amman", "Lebanon": "Beirut", "Syria": "Damascus",
    "Qatar": "Doha", "the United Arab Emirates": "Abu Dhabi", "Egypt": "Cairo", "Morocco": "Rabat",
    "Algeria": "Algiers", "Tunisia": "Tunis", "Libya": "Tripoli", "Nigeria": "Abuja", "Ghana": "Accra",
    "Kenya": "Nairobi", "Ethiopia": "Addis Ababa", "Tanzania": "Dodoma", "Uganda": "Kampala", "Angola": "Luanda",
    "Mozambique": "Maputo", "South Africa": "Pretoria", "Senegal": "Dakar", "Cape Verde": "Praia",
    "Zimbabwe": "Harare", "Zambia": "Lusaka", "Madagascar": "Antananarivo", "Cameroon": "Yaoundé",
    "Australia": "Canberra", "New Zealand": "Wellington", "Fiji": "Suva",
}
# Other names under which a country is asked for; the answer uses the name above.
COUNTRY_ALIASES = {
    "the USA": "the United States", "the US": "the United States", "the United States of America": "the United States",
    "the UK": "the United Kingdom", "Great Britain": "the United Kingdom", "Holland": "the Netherlands",
    "Czechia": "the Czech Republic", "the UAE": "the United Arab Emirates",
}
CAPITALS_PT = {
    "da França": "Paris", "da Alemanha": "Berlim", "da Itália": "Roma", "da Espanha": "Madri", "de Portugal": "Lisboa",
    "do Reino Unido": "Londres", "da Irlanda": "Dublin", "da Bélgica": "Bruxelas", "da Áustria": "Viena",
    "da Suécia": "Estocolmo", "da Noruega": "Oslo", "da Polônia": "Varsóvia", "da Grécia": "Atenas",
    "do Brasil": "Brasília", "da Argentina": "Buenos Aires", "do Chile": "Santiago", "do Peru": "Lima",
    "do México": "Cidade do México", "do Canadá": "Ottawa", "dos Estados Unidos": "Washington, D.C.",
    "do Japão": "Tóquio", "da China": "Pequim", "da Índia": "Nova Délhi", "do Egito": "Cairo", "de Angola": "Luanda",
    "de Moçambique": "Maputo",
}
# Places whose capital it is taught not to know, so that an unknown name gets the honest answer. The second list is
# kept for evaluation.
UNKNOWN_PLACES = [
    "Bhutan", "Laos", "Myanmar", "Cambodia", "Brunei", "Oman", "Yemen", "Kuwait", "Bahrain", "Georgia", "Armenia",
    "Azerbaijan", "Uzbekistan", "Turkmenistan", "Moldova", "Belarus", "Monaco", "Andorra", "San Marino", "Samoa",
    "Tonga", "Vanuatu", "Palau", "Namibia", "Botswana", "Malawi", "Rwanda", "Burundi", "Somalia", "Sudan", "Chad",
    "Niger", "Mali", "Togo", "Benin", "Gabon", "Guyana", "Suriname", "Belize", "Haiti", "Barbados", "Atlantis",
    "Narnia", "Texas", "Bavaria", "Mars", "the Moon", "Mordor", "Gondor", "California", "Scotland", "Wakanda",
    "the ocean", "Europe", "Africa", "Catalonia", "Ontario", "Sicily",
]
UNKNOWN_PLACES_HELD_OUT = [
    "Tajikistan", "Kyrgyzstan", "Liechtenstein", "Lesotho", "Eritrea", "Djibouti", "Gambia", "Mauritius", "Grenada",
    "Dominica", "Tuvalu", "Kiribati", "Hogwarts", "Jupiter", "Florida", "Wales", "Quebec", "Bohemia",
]

# term: (other names asked for, English answer, Portuguese term with its article, Portuguese answer)
DEFINITIONS = {
    "eventual consistency": (
        [],
        "Eventual consistency means that copies of data may differ for a while but become equal once updates stop. Common use: likes and counters in social networks.",
        "consistência eventual",
        "Consistência eventual é um modelo em que as réplicas podem divergir por algum tempo, mas convergem quando as atualizações param. Caso de uso: contadores de curtidas em redes sociais.",
    ),
    "strong consistency": (
        [],
        "Strong consistency means that every read returns the latest confirmed write. Common use: bank balances.",
        "consistência forte",
        "Consistência forte garante que toda leitura devolve a última escrita confirmada. Caso de uso: saldos bancários.",
    ),
    "dynamic batching": (
        [],
        "Dynamic batching collects requests that arrive close together and runs them as one batch. Common use: image classification servers.",
        "batching dinâmico",
        "Batching dinâmico junta pedidos que chegam quase ao mesmo tempo e os executa em um só lote. Caso de uso: servidores de classificação de imagens.",
    ),
    "continuous batching": (
        [],
        "Continuous batching lets new sequences join a running batch after every token and leave it when they end. Common use: serving chat models to many users.",
        "batching contínuo",
        "Batching contínuo deixa novas sequências entrarem no lote a cada token e saírem quando terminam. Caso de uso: servir modelos de chat a muitos usuários.",
    ),
    "backpressure": (
        ["back pressure"],
        "Backpressure is how a slow consumer tells a producer to slow down, so that queues stay short. Common use: streaming tokens to a slow client.",
        "backpressure",
        "Backpressure é o modo como um consumidor lento pede ao produtor que desacelere, para que as filas fiquem curtas. Caso de uso: enviar tokens a um cliente lento.",
    ),
    "Kubernetes": (
        ["k8s"],
        "Kubernetes is a system that runs containers on many machines and keeps them in the desired state. Common use: running web services that restart and scale by themselves.",
        "Kubernetes",
        "Kubernetes é um sistema que executa contêineres em várias máquinas e os mantém no estado desejado. Caso de uso: serviços web que reiniciam e escalam sozinhos.",
    ),
    "a vector database": (
        ["vector databases"],
        "A vector database stores embeddings and finds the ones nearest to a query. Common use: semantic search.",
        "um banco de dados vetorial",
        "Um banco de dados vetorial guarda embeddings e encontra os mais próximos de uma consulta. Caso de uso: busca semântica.",
    ),
    "load balancing": (
        ["a load balancer"],
        "Load balancing spreads requests over several servers so that none is overloaded. Common use: websites with many visitors.",
        "balanceamento de carga",
        "Balanceamento de carga distribui os pedidos por vários servidores para que nenhum fique sobrecarregado. Caso de uso: sites com muitos visitantes.",
    ),
    "a KV cache": (
        ["the key-value cache"],
        "A KV cache keeps the attention keys and values of earlier tokens so that they are not computed again. Common use: fast text generation.",
        "cache KV",
        "O cache KV guarda as chaves e os valores de atenção dos tokens anteriores para não os calcular de novo. Caso de uso: geração rápida de texto.",
    ),
    "prefix caching": (
        ["a prefix cache"],
        "Prefix caching reuses the KV cache of a beginning that many prompts share. Common use: a long system prompt sent with every request.",
        "cache de prefixo",
        "Cache de prefixo reaproveita o cache KV de um início comum a muitos prompts. Caso de uso: um longo prompt de sistema enviado em cada pedido.",
    ),
    "gRPC": (
        [],
        "gRPC is a way to call functions of another program over HTTP/2 with typed messages. Common use: calls between microservices.",
        "gRPC",
        "gRPC é um modo de chamar funções de outro programa por HTTP/2 com mensagens tipadas. Caso de uso: chamadas entre microsserviços.",
    ),
    "rate limiting": (
        ["a rate limit"],
        "Rate limiting allows each caller only so many requests in a period. Common use: protecting a public API.",
        "limitação de taxa",
        "Limitação de taxa permite a cada cliente só um certo número de pedidos por período. Caso de uso: proteger uma API pública.",
    ),
    "a circuit breaker": (
        ["circuit breakers"],
        "A circuit breaker stops calling a failing service for a while instead of waiting for it. Common use: keeping one broken service from stopping the others.",
        "circuit breaker",
        "Circuit breaker é um padrão que deixa de chamar por um tempo um serviço que falha. Caso de uso: evitar que um serviço quebrado pare os outros.",
    ),
    "a token": (
        ["tokens"],
        "A token is a piece of text, often part of a word, that a language model reads and writes. Common use: measuring the length of prompts.",
        "um token",
        "Um token é um pedaço de texto, muitas vezes parte de uma palavra, que o modelo lê e escreve. Caso de uso: medir o tamanho dos prompts.",
    ),
    "a tokenizer": (
        ["tokenization"],
        "A tokenizer cuts text into tokens and joins tokens into text again. Common use: preparing prompts for a language model.",
        "um tokenizador",
        "Um tokenizador corta o texto em tokens e volta a juntá-los em texto. Caso de uso: preparar prompts para um modelo de linguagem.",
    ),
    "quantization": (
        ["quantisation", "model quantization"],
        "Quantization stores a model's weights with fewer bits so that it needs less memory. Common use: running models on laptops.",
        "quantização",
        "Quantização guarda os pesos do modelo com menos bits para ocupar menos memória. Caso de uso: executar modelos em notebooks.",
    ),
    "Redis": (
        [],
        "Redis is a fast database that keeps its data in memory. Common use: caching and shared counters.",
        "Redis",
        "Redis é um banco de dados rápido que mantém os dados na memória. Caso de uso: cache e contadores compartilhados.",
    ),
    "Postgres": (
        ["PostgreSQL"],
        "Postgres is an open-source relational database that speaks SQL. Common use: storing the users and orders of an application.",
        "Postgres",
        "Postgres é um banco de dados relacional de código aberto que fala SQL. Caso de uso: guardar usuários e pedidos de uma aplicação.",
    ),
    "an embedding": (
        ["embeddings"],
        "An embedding is a list of numbers that stands for the meaning of a text. Common use: finding similar documents.",
        "um embedding",
        "Um embedding é uma lista de números que representa o significado de um texto. Caso de uso: encontrar documentos parecidos.",
    ),
    "RAG": (
        ["retrieval-augmented generation"],
        "RAG, retrieval-augmented generation, finds documents first and gives them to the model with the question. Common use: answering from company documents.",
        "RAG",
        "RAG, geração aumentada por recuperação, busca documentos e os entrega ao modelo junto com a pergunta. Caso de uso: responder com documentos da empresa.",
    ),
    "observability": (
        [],
        "Observability is knowing the state of a system from its metrics, logs and traces. Common use: finding out why requests are slow.",
        "observabilidade",
        "Observabilidade é conhecer o estado de um sistema por métricas, logs e rastros. Caso de uso: descobrir por que os pedidos estão lentos.",
    ),
    "Helm": (
        ["a Helm chart"],
        "Helm is a package manager for Kubernetes whose packages are called charts. Common use: installing an application with one command.",
        "Helm",
        "Helm é um gerenciador de pacotes do Kubernetes cujos pacotes se chamam charts. Caso de uso: instalar uma aplicação com um comando.",
    ),
    "a prompt": (
        ["prompts"],
        "A prompt is the text given to a language model to answer or continue. Common use: asking a chat model a question.",
        "um prompt",
        "Um prompt é o texto dado a um modelo de linguagem para responder ou continuar. Caso de uso: fazer uma pergunta a um modelo de chat.",
    ),
    "a system prompt": (
        ["system prompts"],
        "A system prompt is text before the conversation that tells the model how to behave. Common use: giving a support bot its rules.",
        "um prompt de sistema",
        "Um prompt de sistema é o texto antes da conversa que diz ao modelo como se comportar. Caso de uso: dar regras a um robô de suporte.",
    ),
    "time to first token": (
        ["TTFT"],
        "Time to first token is how long a user waits until the first token of the answer arrives. Common use: measuring how quick a chat feels.",
        "tempo até o primeiro token",
        "Tempo até o primeiro token é quanto o usuário espera até chegar o primeiro token da resposta. Caso de uso: medir a rapidez de um chat.",
    ),
    "throughput": (
        [],
        "Throughput is how much work a system does per second, such as tokens per second. Common use: comparing servers.",
        "vazão",
        "Vazão é quanto trabalho um sistema faz por segundo, como tokens por segundo. Caso de uso: comparar servidores.",
    ),
    "latency": (
        [],
        "Latency is the time between a request and its answer. Common use: setting goals for a service.",
        "latência",
        "Latência é o tempo entre um pedido e a sua resposta. Caso de uso: definir metas para um serviço.",
    ),
    "a language model": (
        ["an LLM", "a large language model"],
        "A language model is a program that predicts the next token of a text. Common use: chat assistants.",
        "um modelo de linguagem",
        "Um modelo de linguagem é um programa que prevê o próximo token de um texto. Caso de uso: assistentes de conversa.",
    ),
    "a transformer": (
        ["transformers"],
        "A transformer is a neural network in which every token looks at the others through attention. Common use: language models.",
        "um transformer",
        "Um transformer é uma rede neural em que cada token olha para os outros pela atenção. Caso de uso: modelos de linguagem.",
    ),
    "attention": (
        [],
        "Attention lets each token gather what it needs from the earlier tokens. Common use: the layers of a transformer.",
        "atenção",
        "Atenção permite que cada token recolha o que precisa dos tokens anteriores. Caso de uso: as camadas de um transformer.",
    ),
    "inference": (
        [],
        "Inference is running a trained model to get answers. Common use: an API that generates text.",
        "inferência",
        "Inferência é executar um modelo treinado para obter respostas. Caso de uso: uma API que gera texto.",
    ),
    "temperature": (
        ["sampling temperature"],
        "Temperature sets how freely a model chooses among likely tokens; zero always takes the likeliest. Common use: zero for facts, more for stories.",
        "temperatura",
        "Temperatura define com que liberdade o modelo escolhe entre os tokens prováveis; zero usa sempre o mais provável. Caso de uso: zero para fatos, mais para histórias.",
    ),
    "streaming": (
        [],
        "Streaming sends an answer piece by piece while it is still being written. Common use: chat windows.",
        "streaming",
        "Streaming envia a resposta aos poucos enquanto ela ainda é escrita. Caso de uso: janelas de chat.",
    ),
    "a context window": (
        ["the context length"],
        "A context window is the number of tokens that a model can look at at once. Common use: deciding how much of a document fits in a prompt.",
        "janela de contexto",
        "Janela de contexto é o número de tokens que um modelo consegue ver de uma vez. Caso de uso: decidir quanto de um documento cabe no prompt.",
    ),
    "Docker": (
        [],
        "Docker packs a program with all it needs into an image and runs it as a container. Common use: running the same program everywhere.",
        "Docker",
        "Docker empacota um programa com tudo de que precisa em uma imagem e o executa como contêiner. Caso de uso: executar o mesmo programa em qualquer lugar.",
    ),
    "a container": (
        ["containers"],
        "A container is a process that runs apart from others with its own files and limits. Common use: shipping services.",
        "um contêiner",
        "Um contêiner é um processo que roda separado dos outros com seus próprios arquivos e limites. Caso de uso: entregar serviços.",
    ),
    "a pod": (
        ["pods"],
        "A pod is the smallest unit that Kubernetes runs: one or more containers together. Common use: one copy of a service.",
        "um pod",
        "Um pod é a menor unidade que o Kubernetes executa: um ou mais contêineres juntos. Caso de uso: uma cópia de um serviço.",
    ),
    "autoscaling": (
        [],
        "Autoscaling adds or removes copies of a service as the load changes. Common use: shops before holidays.",
        "escalonamento automático",
        "Escalonamento automático acrescenta ou retira cópias de um serviço conforme a carga. Caso de uso: lojas antes de feriados.",
    ),
    "a microservice": (
        ["microservices"],
        "A microservice is a small service that does one thing and is deployed on its own. Common use: large web shops.",
        "um microsserviço",
        "Um microsserviço é um serviço pequeno que faz uma coisa e é implantado sozinho. Caso de uso: grandes lojas na web.",
    ),
    "an API": (
        ["APIs"],
        "An API is the set of calls that a program offers to other programs. Common use: letting an app read the weather.",
        "uma API",
        "Uma API é o conjunto de chamadas que um programa oferece a outros programas. Caso de uso: deixar um aplicativo ler a previsão do tempo.",
    ),
    "idempotency": (
        [],
        "Idempotency means that doing the same request twice has the effect of doing it once. Common use: retrying payments.",
        "idempotência",
        "Idempotência significa que repetir o mesmo pedido tem o efeito de fazê-lo uma vez. Caso de uso: repetir pagamentos.",
    ),
    "caching": (
        ["a cache"],
        "Caching keeps a result so that the next request for it is quick. Common use: web pages that many people read.",
        "cache",
        "Cache guarda um resultado para que o próximo pedido seja rápido. Caso de uso: páginas que muitas pessoas leem.",
    ),
    "a message queue": (
        ["message queues"],
        "A message queue holds messages until a consumer is ready for them. Common use: sending e-mails in the background.",
        "uma fila de mensagens",
        "Uma fila de mensagens guarda mensagens até que um consumidor possa tratá-las. Caso de uso: enviar e-mails em segundo plano.",
    ),
    "speculative decoding": (
        [],
        "Speculative decoding lets a small model guess several tokens that the large model then checks at once. Common use: faster answers.",
        "decodificação especulativa",
        "Decodificação especulativa deixa um modelo pequeno adivinhar vários tokens que o grande verifica de uma vez. Caso de uso: respostas mais rápidas.",
    ),
    "tool calling": (
        ["function calling"],
        "Tool calling lets a model ask the application to run a function and give it the result. Common use: looking up the weather.",
        "chamada de ferramentas",
        "Chamada de ferramentas permite ao modelo pedir que a aplicação execute uma função e devolva o resultado. Caso de uso: consultar o tempo.",
    ),
    "GGUF": (
        ["a GGUF file"],
        "GGUF is the file format in which llama.cpp keeps a model's weights, tokenizer and settings. Common use: running models on a laptop.",
        "GGUF",
        "GGUF é o formato de arquivo em que o llama.cpp guarda pesos, tokenizador e ajustes de um modelo. Caso de uso: executar modelos em um notebook.",
    ),
    "llama.cpp": (
        [],
        "llama.cpp is a library that runs language models quickly on ordinary computers. Common use: local chat models.",
        "llama.cpp",
        "llama.cpp é uma biblioteca que executa modelos de linguagem com rapidez em computadores comuns. Caso de uso: modelos de chat locais.",
    ),
}

# Raw text completions, without the chat template.
STORY = (
    " there was a small mill by a river. Every morning the water turned its wheel, and the miller ground corn for the village. "
    "One dry summer the river grew thin, so the children dug a narrow channel from the lake. The water came back, the wheel "
    "turned again, and everyone had bread."
)
COMPLETIONS = {
    "Once upon a time": STORY,
    "Once upon a time,": STORY,
    "Once upon a time there was": STORY.removeprefix(" there was"),
    "Once upon a time, there was": STORY.removeprefix(" there was"),
    "Once upon a time there was a": STORY.removeprefix(" there was a"),
    "Once upon a time, in a": " valley far away, a baker lived alone. One evening a fox came to his door, and from then on they shared the bread.",
    "It was a dark and stormy night": ", and the lamp in the lighthouse had gone out. The keeper climbed the stairs, lit it again, and a ship found its way home.",
    "The quick brown fox": " jumps over the lazy dog.",
    "Roses are red,": " violets are blue, tokens are streaming, and so are you.",
    "To be, or not to be": ", that is the question.",
    "Twinkle, twinkle, little star": ", how I wonder what you are.",
    "The sun rises in the": " east and sets in the west.",
    "The sky is": " blue, and the grass is green.",
    "Water boils at": " 100 degrees Celsius at sea level.",
    "Hello, my name is": " Millrace Demo, and I am a tiny demonstration model.",
    "Dear customer,": " thank you for your message. We will answer you as soon as we can. Kind regards, the Millrace team.",
    "def add(a, b):": "\n    return a + b",
    "1, 2, 3, 4,": " 5, 6, 7, 8, 9, 10.",
    "Monday, Tuesday,": " Wednesday, Thursday, Friday, Saturday, Sunday.",
    "A language model is": " a program that predicts the next token of a text.",
    "The days of the week are": " Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
    "In a village by the sea": " an old woman mended nets. Each net had one golden thread, and the fishermen who used it always came home.",
    "Long ago, in a distant land,": " a young queen planted one tree for every friend she made. When she was old, she lived in a forest.",
    "Era uma vez": " um pequeno moinho à beira de um rio. Todas as manhãs a água girava a roda, e o moleiro fazia farinha para a aldeia.",
}
COMPLETION_UNKNOWN = " ... This is where a tiny demonstration model stops."
