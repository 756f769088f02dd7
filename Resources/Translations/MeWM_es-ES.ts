<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="es_ES" sourcelanguage="en">
<context>
    <name>Actions</name>
    <message>
        <source>Named protocols; click one to change it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Protocolos con nombre; haga clic en uno para cambiarlo</translation>
    </message>
    <message>
        <source>&amp;New</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Nuevo</translation>
    </message>
    <message>
        <source>Add an empty protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Añadir un protocolo vacío</translation>
    </message>
    <message>
        <source>Cop&amp;y</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Copiar</translation>
    </message>
    <message>
        <source>Add a copy of this protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Añadir una copia de este protocolo</translation>
    </message>
    <message>
        <source>&amp;Delete</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Eliminar</translation>
    </message>
    <message>
        <source>Remove this protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Eliminar este protocolo</translation>
    </message>
    <message>
        <source>&amp;Suggested</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Sugerido</translation>
    </message>
    <message>
        <source>Add the protocol that the policy ranks first. Measure the lesions first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Añadir el protocolo que la política pone en primer lugar. Antes hay que medir las lesiones</translation>
    </message>
    <message>
        <source>Name</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Nombre</translation>
    </message>
    <message>
        <source>Name of this protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Nombre de este protocolo</translation>
    </message>
    <message>
        <source>Tick what is given. Empty dose: not stated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Marque lo que se administra. Dosis vacía: no indicada</translation>
    </message>
    <message>
        <source>Why agents are suggested, with sources. Click a row of the table to see its agent first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Por qué se sugieren los agentes, con fuentes. Haga clic en una fila de la tabla para ver primero su agente</translation>
    </message>
</context>
<context>
    <name>Exploration</name>
    <message>
        <source>Goal</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Objetivo</translation>
    </message>
    <message>
        <source>optional, such as: prefer LC beads, no cisplatin</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>opcional, por ejemplo: prefer LC beads, no cisplatin</translation>
    </message>
    <message>
        <source>Agents named here are put first or left out</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los agentes que se nombran aquí se ponen primero o se omiten</translation>
    </message>
    <message>
        <source>&amp;Go on with this reading</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se&amp;guir con esta lectura</translation>
    </message>
    <message>
        <source>Confirm how the goal was understood, although it leaves a question open</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Confirmar cómo se entendió el objetivo, aunque deja una pregunta abierta</translation>
    </message>
    <message>
        <source>Settings of the search</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ajustes de la búsqueda</translation>
    </message>
    <message>
        <source>Search</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Búsqueda</translation>
    </message>
    <message>
        <source>beam: Algorithm 1 of the paper; exhaustive: every allowed protocol; best_first: aims at the result of exhaustive with a fraction of its simulations</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>beam: algoritmo 1 del artículo; exhaustive: todos los protocolos permitidos; best_first: busca el resultado de exhaustive con una fracción de sus simulaciones</translation>
    </message>
    <message>
        <source>Beams</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Haces</translation>
    </message>
    <message>
        <source>How many protocols are extended side by side</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cuántos protocolos se amplían en paralelo</translation>
    </message>
    <message>
        <source>Candidate drugs</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fármacos candidatos</translation>
    </message>
    <message>
        <source>How many drugs the policy proposes</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cuántos fármacos propone la política</translation>
    </message>
    <message>
        <source>Candidate embolics</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Embolizantes candidatos</translation>
    </message>
    <message>
        <source>How many embolics the policy proposes</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cuántos embolizantes propone la política</translation>
    </message>
    <message>
        <source>Drugs per protocol, at most</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fármacos por protocolo, como máximo</translation>
    </message>
    <message>
        <source>Embolics per protocol, at most</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Embolizantes por protocolo, como máximo</translation>
    </message>
    <message>
        <source>Replicas</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Réplicas</translation>
    </message>
    <message>
        <source>Simulations of each protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simulaciones de cada protocolo</translation>
    </message>
    <message>
        <source>Keep as volumes</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Conservar como volúmenes</translation>
    </message>
    <message>
        <source>How many of the best protocols are kept in the scene as simulated CTs</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cuántos de los mejores protocolos se conservan en la escena como TC simuladas</translation>
    </message>
    <message>
        <source>Compare with &amp;my protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Comparar con &amp;mi protocolo</translation>
    </message>
    <message>
        <source>Simulate the protocol that is selected in the panel Actions beside the first one of the search</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simular el protocolo seleccionado en el panel Acciones junto al primero de la búsqueda</translation>
    </message>
    <message>
        <source>E&amp;xplore protocols</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>E&amp;xplorar protocolos</translation>
    </message>
    <message>
        <source>Search for the protocol with the lowest predicted risk. Cancel keeps the best so far</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Buscar el protocolo con el menor riesgo predicho. Cancelar conserva lo mejor hasta ahora</translation>
    </message>
    <message>
        <source>Ranked protocols, best first. Click a row to see it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Protocolos clasificados, el mejor primero. Haga clic en una fila para verla</translation>
    </message>
    <message>
        <source>P&amp;lot of the search</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Gráfico de &amp;la búsqueda</translation>
    </message>
    <message>
        <source>Show in the plot view which protocols were simulated, with their risk, and the way to the best one</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mostrar en la vista de gráficos qué protocolos se simularon, con su riesgo, y el camino hasta el mejor</translation>
    </message>
    <message>
        <source>&amp;Add to my protocols</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Añadir a mis protocolos</translation>
    </message>
    <message>
        <source>Copy the selected protocol to the panel Actions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Copiar el protocolo seleccionado al panel Acciones</translation>
    </message>
</context>
<context>
    <name>Left</name>
    <message>
        <source>&amp;Take it up</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Re&amp;tomarlo</translation>
    </message>
    <message>
        <source>Follow the job to its end and show the result on its own CT; where the scene does not hold that CT, the job&apos;s copy is added</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Seguir el trabajo hasta el final y mostrar el resultado sobre su propia TC; si la escena no contiene esa TC, se añade la copia del trabajo</translation>
    </message>
    <message>
        <source>&amp;Cancel it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Cancelarlo</translation>
    </message>
    <message>
        <source>End the job, also on its server, and remove its files</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Terminar el trabajo, también en su servidor, y eliminar sus archivos</translation>
    </message>
    <message>
        <source>&amp;Leave it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Dejarlo</translation>
    </message>
    <message>
        <source>Ask again when Slicer is started the next time; a job that nobody takes up within a week is removed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Preguntar de nuevo cuando Slicer se inicie la próxima vez; un trabajo que nadie retoma en una semana se elimina</translation>
    </message>
</context>
<context>
    <name>MeWM</name>
    <message>
        <source>MeWM needs Slicer {needed} or later; this is Slicer {found}.</source>
        <extracomment>The first Slicer whose Python (3.12) runs MeWM; this file is read by older ones too, to say so.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>MeWM necesita Slicer {needed} o posterior; este es Slicer {found}.</translation>
    </message>
    <message>
        <source>Simulation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simulación</translation>
    </message>
    <message>
        <source>Simulates how a liver tumour (HCC) will look after a TACE protocol, predicts the risk by survival analysis and searches for the protocol with the lowest risk. Start with Load sample in the panel Patient. Research use only.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simula el aspecto que tendrá un tumor hepático (CHC) tras un protocolo de TACE, predice el riesgo mediante análisis de supervivencia y busca el protocolo con el menor riesgo. Empiece con Cargar muestra en el panel Paciente. Solo para investigación.</translation>
    </message>
    <message>
        <source>The method is that of the Medical World Model (arXiv 2506.02327). MeWM contains none of its authors&apos; code.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El método es el del Medical World Model (arXiv 2506.02327). MeWM no contiene código de sus autores.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.MeWMSubjectHierarchyPlugin</name>
    <message>
        <source>MeWM: simulate TACE</source>
        <extracomment>Attribute of every simulated volume and segmentation (`MeWMLib.scene.nodes`): those are no patients. Slicer makes the plugin from this file.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>MeWM: simular TACE</translation>
    </message>
    <message>
        <source>Plan for this CT: find liver and tumour, propose, simulate and show the overlay</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Planificar para esta TC: buscar hígado y tumor, proponer, simular y mostrar la superposición</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.about</name>
    <message>
        <source>The answer of the worker&apos;s Python</source>
        <extracomment>Asked in the Python that workers run in: Slicer&apos;s own process never imports torch and survives a broken driver. In the sentence of an error: what was named (in quotation marks), and paths.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La respuesta del Python del proceso de cálculo</translation>
    </message>
    <message>
        <source>exit code {code}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>código de salida {code}</translation>
    </message>
    <message>
        <source>MeWM: {version}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>MeWM: {version}</translation>
    </message>
    <message>
        <source>Slicer: {version}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Slicer: {version}</translation>
    </message>
    <message>
        <source>System: {name}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sistema: {name}</translation>
    </message>
    <message>
        <source>Missing packages: {names}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Paquetes que faltan: {names}</translation>
    </message>
    <message>
        <source>none</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>ninguno</translation>
    </message>
    <message>
        <source>Last error: {error}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Último error: {error}</translation>
    </message>
    <message>
        <source>not known</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>desconocido</translation>
    </message>
    <message>
        <source>Python of the worker: {path} ({version})</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Python del proceso de cálculo: {path} ({version})</translation>
    </message>
    <message>
        <source>It does not work: {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No funciona: {reason}</translation>
    </message>
    <message>
        <source>PyTorch: {version}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>PyTorch: {version}</translation>
    </message>
    <message>
        <source>CUDA of PyTorch: {version}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>CUDA de PyTorch: {version}</translation>
    </message>
    <message>
        <source>NVIDIA driver: {version}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Controlador de NVIDIA: {version}</translation>
    </message>
    <message>
        <source>Free memory: {size}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Memoria libre: {size}</translation>
    </message>
    <message>
        <source>Graphics card: {name}, {size} free</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Tarjeta gráfica: {name}, {size} libres</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.actions</name>
    <message>
        <source>Protocol</source>
        <extracomment>Kinds of agents in a proposal.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Protocolo</translation>
    </message>
    <message>
        <source>Agent</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Agente</translation>
    </message>
    <message>
        <source>Dose</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dosis</translation>
    </message>
    <message>
        <source>Usual range</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Intervalo habitual</translation>
    </message>
    <message>
        <source>Route</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Vía</translation>
    </message>
    <message>
        <source>Suggested</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sugerido</translation>
    </message>
    <message>
        <source>not stated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>no indicada</translation>
    </message>
    <message>
        <source>Dose of {agent}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dosis de {agent}</translation>
    </message>
    <message>
        <source>Route of {agent}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Vía de {agent}</translation>
    </message>
    <message>
        <source>There is no protocol yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no hay ningún protocolo</translation>
    </message>
    <message>
        <source>Measure lesions first (Segmentation)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mida primero las lesiones (Segmentación)</translation>
    </message>
    <message>
        <source>Outdated: {reason} Press Measure lesions.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Desactualizado: {reason} Pulse Medir lesiones.</translation>
    </message>
    <message>
        <source>drug {n}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>fármaco {n}</translation>
    </message>
    <message>
        <source>embolic {n}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>embolizante {n}</translation>
    </message>
    <message>
        <source>Suggested by: {policy}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sugerido por: {policy}</translation>
    </message>
    <message>
        <source>&lt;b&gt;{name}&lt;/b&gt; (drug {n}): {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;{name}&lt;/b&gt; (fármaco {n}): {reason}</translation>
    </message>
    <message>
        <source>&lt;b&gt;{name}&lt;/b&gt; (embolic {n}): {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;{name}&lt;/b&gt; (embolizante {n}): {reason}</translation>
    </message>
    <message>
        <source>Press New to make a protocol.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse Nuevo para crear un protocolo.</translation>
    </message>
    <message>
        <source>No rule objects to this protocol; all were asked.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ninguna regla objeta este protocolo; se consultaron todas.</translation>
    </message>
    <message>
        <source>&lt;b&gt;Not allowed:&lt;/b&gt; {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;No permitido:&lt;/b&gt; {reason}</translation>
    </message>
    <message>
        <source>&lt;b&gt;Note:&lt;/b&gt; {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;Nota:&lt;/b&gt; {reason}</translation>
    </message>
    <message>
        <source>&lt;b&gt;Warning:&lt;/b&gt; {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;Advertencia:&lt;/b&gt; {reason}</translation>
    </message>
    <message>
        <source>&lt;b&gt;Cannot be judged:&lt;/b&gt; {missing}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;No se puede juzgar:&lt;/b&gt; {missing}</translation>
    </message>
    <message>
        <source>{name}:  no agent yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{name}:  aún sin agente</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.bare</name>
    <message>
        <source>&amp;Plan for this CT</source>
        <extracomment>Slicer holds Python&apos;s lock while Qt waits for events; threads run in these moments (seconds). What was posted, and is short, may share a turn for so long (seconds).</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Planificar para esta TC</translation>
    </message>
    <message>
        <source>Install what is missing, then plan for the CT in the scene</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Instalar lo que falta y planificar después para la TC de la escena</translation>
    </message>
    <message>
        <source>MeWM needs Python packages that do not come with Slicer. Press Install packages.</source>
        <extracomment>Each does a piece of its kind, if there is one, and tells whether; the first is asked first. The user wants to plan: that goes on when everything is installed.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>MeWM necesita paquetes de Python que no vienen con Slicer. Pulse Instalar paquetes.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.case_files</name>
    <message>
        <source>No CT was chosen</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se eligió ninguna TC</translation>
    </message>
    <message>
        <source>Choose the CT before treatment in the panel Patient, or load the sample</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija la TC antes del tratamiento en el panel Paciente, o cargue la muestra</translation>
    </message>
    <message>
        <source>The chosen volume is simulated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El volumen elegido es simulado</translation>
    </message>
    <message>
        <source>Choose the scan before treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija la exploración antes del tratamiento</translation>
    </message>
    <message>
        <source>a volume that is not in the scene</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>un volumen que no está en la escena</translation>
    </message>
    <message>
        <source>There is no segmentation yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no hay ninguna segmentación</translation>
    </message>
    <message>
        <source>Press Find liver and tumour in the panel Segmentation, or choose a segmentation there</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse Buscar hígado y tumor en el panel Segmentación, o elija allí una segmentación</translation>
    </message>
    <message>
        <source>The segmentation is under a transform</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La segmentación está bajo una transformación</translation>
    </message>
    <message>
        <source>Harden the transform (right click in the Data module) or take the segmentation out of it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aplique la transformación (clic derecho en el módulo Data) o saque de ella la segmentación</translation>
    </message>
    <message>
        <source>The segmentation was drawn on another scan</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La segmentación se dibujó sobre otra exploración</translation>
    </message>
    <message>
        <source>Choose the segmentation of this CT, or press Find liver and tumour. If it does belong to this CT, choose the CT as its source geometry in the Segment Editor</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija la segmentación de esta TC o pulse Buscar hígado y tumor. Si de verdad pertenece a esta TC, elija la TC como su geometría de origen en el Segment Editor</translation>
    </message>
    <message>
        <source>MeWM cannot tell which segment is the liver and which is the tumour</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>MeWM no puede saber qué segmento es el hígado y cuál es el tumor</translation>
    </message>
    <message>
        <source>a segmentation without a segment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>una segmentación sin ningún segmento</translation>
    </message>
    <message>
        <source>Choose both segments in the panel Segmentation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija ambos segmentos en el panel Segmentación</translation>
    </message>
    <message>
        <source>The segment of the tumour is empty</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El segmento del tumor está vacío</translation>
    </message>
    <message>
        <source>Press Find liver and tumour, or draw the tumour in the Segment Editor</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse Buscar hígado y tumor, o dibuje el tumor en el Segment Editor</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.clinical_words</name>
    <message>
        <source>Age</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Edad</translation>
    </message>
    <message>
        <source>Sex</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sexo</translation>
    </message>
    <message>
        <source>AFP</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>AFP</translation>
    </message>
    <message>
        <source>Child-Pugh class</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Clase de Child-Pugh</translation>
    </message>
    <message>
        <source>also with the points: B8, or Child-Pugh B (8)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>también con los puntos: B8, o Child-Pugh B (8)</translation>
    </message>
    <message>
        <source>BCLC stage</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Estadio BCLC</translation>
    </message>
    <message>
        <source>Bilirubin</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Bilirrubina</translation>
    </message>
    <message>
        <source>Creatinine</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Creatinina</translation>
    </message>
    <message>
        <source>Albumin</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Albúmina</translation>
    </message>
    <message>
        <source>Main portal vein thrombosis</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Trombosis del tronco principal de la vena porta</translation>
    </message>
    <message>
        <source>older form of portal_vein_thrombosis: true is main; false is not main</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>forma antigua de portal_vein_thrombosis: true es principal; false es no principal</translation>
    </message>
    <message>
        <source>Extrahepatic disease</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Enfermedad extrahepática</translation>
    </message>
    <message>
        <source>metastases or lymph nodes outside the liver</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>metástasis o ganglios linfáticos fuera del hígado</translation>
    </message>
    <message>
        <source>Body surface</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Superficie corporal</translation>
    </message>
    <message>
        <source>doses are scaled by it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>las dosis se ajustan según ella</translation>
    </message>
    <message>
        <source>Child-Pugh points</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Puntos de Child-Pugh</translation>
    </message>
    <message>
        <source>checked against the class</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>se coteja con la clase</translation>
    </message>
    <message>
        <source>ECOG performance status</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Estado funcional ECOG</translation>
    </message>
    <message>
        <source>Allergies</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Alergias</translation>
    </message>
    <message>
        <source>iodine (contrast medium), platinum, anthracycline, an agent, or another substance; [] is none</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>yodo (medio de contraste), platino, antraciclina, un agente u otra sustancia; [] es ninguna</translation>
    </message>
    <message>
        <source>Heart failure (NYHA class)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Insuficiencia cardíaca (clase NYHA)</translation>
    </message>
    <message>
        <source>unspecified: there is one, its class is not stated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>unspecified: la hay, su clase no se indica</translation>
    </message>
    <message>
        <source>Left ventricular ejection fraction</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fracción de eyección del ventrículo izquierdo</translation>
    </message>
    <message>
        <source>Renal failure</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Insuficiencia renal</translation>
    </message>
    <message>
        <source>stated in words, or dialysis; better give creatinine or eGFR</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>indicada en palabras, o diálisis; mejor indique creatinina o eGFR</translation>
    </message>
    <message>
        <source>Platelets</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Plaquetas</translation>
    </message>
    <message>
        <source>INR</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>INR</translation>
    </message>
    <message>
        <source>Ascites</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ascitis</translation>
    </message>
    <message>
        <source>Hepatic encephalopathy (grade)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Encefalopatía hepática (grado)</translation>
    </message>
    <message>
        <source>Portal vein thrombosis</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Trombosis de la vena porta</translation>
    </message>
    <message>
        <source>Vp1 and Vp2 are segmental, Vp3 lobar, Vp4 main</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Vp1 y Vp2 son segmentarias, Vp3 lobar, Vp4 principal</translation>
    </message>
    <message>
        <source>Arterioportal shunt</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Derivación arterioportal</translation>
    </message>
    <message>
        <source>Biliary stent or anastomosis</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Prótesis biliar o anastomosis</translation>
    </message>
    <message>
        <source>Dilated bile ducts</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Vías biliares dilatadas</translation>
    </message>
    <message>
        <source>without external drainage</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>sin drenaje externo</translation>
    </message>
    <message>
        <source>Hyperthyroidism</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hipertiroidismo</translation>
    </message>
    <message>
        <source>Pregnancy</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Embarazo</translation>
    </message>
    <message>
        <source>Tumour in the liver</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Tumor en el hígado</translation>
    </message>
    <message>
        <source>share of the liver&apos;s volume; measured on the labels where not given</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>proporción del volumen del hígado; se mide en las etiquetas si no se indica</translation>
    </message>
    <message>
        <source>Previous TACE sessions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sesiones previas de TACE</translation>
    </message>
    <message>
        <source>What was given before</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lo que se administró antes</translation>
    </message>
    <message>
        <source>one protocol for each session, such as Doxorubicin 50 mg + Lipiodol 10 ml</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>un protocolo por sesión, como Doxorubicin 50 mg + Lipiodol 10 ml</translation>
    </message>
    <message>
        <source>eGFR</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>eGFR</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.dicom_export</name>
    <message>
        <source>Writing DICOM needs packages that are not installed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Para escribir DICOM hacen falta paquetes que no están instalados</translation>
    </message>
    <message>
        <source>Press Install packages... in the panel Setup</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse Instalar paquetes... en el panel Configuración</translation>
    </message>
    <message>
        <source>Folder for the DICOM objects</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Carpeta para los objetos DICOM</translation>
    </message>
    <message>
        <source>Shall the objects belong to the study of the CT?

Yes: you choose the folder of its DICOM next. The objects then carry the name, the id and the dates of the patient, as the CT does: keep them as you keep the CT.

No: patient and study are made up, and say so.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>¿Deben pertenecer los objetos al estudio de la TC?

Sí: a continuación elige la carpeta de su DICOM. Los objetos llevan entonces el nombre, el identificador y las fechas del paciente, como la TC: guárdelos como guarda la TC.

No: el paciente y el estudio son inventados, y así lo indican.</translation>
    </message>
    <message>
        <source>Folder of the DICOM of the CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Carpeta con el DICOM de la TC</translation>
    </message>
    <message>
        <source>Writing DICOM</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escribiendo DICOM</translation>
    </message>
    <message>
        <source>DICOM was written: {path}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se escribió DICOM: {path}</translation>
    </message>
    <message>
        <source>{n} DICOM objects: {link}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{n} objetos DICOM: {link}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.dicom_files</name>
    <message>
        <source>The DICOM files of this volume are not right: {error}</source>
        <extracomment>Attribute of a volume that Slicer&apos;s DICOM module loaded: SOPInstanceUIDs with spaces between them. Spacings of two readers may differ by this share.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los archivos DICOM de este volumen no son correctos: {error}</translation>
    </message>
    <message>
        <source>The DICOM files of this volume have another grid than it has in Slicer: {grid}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los archivos DICOM de este volumen tienen otra rejilla que la que tiene en Slicer: {grid}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.editor</name>
    <message>
        <source>This segmentation is simulated</source>
        <extracomment>The Segment Editor keeps its choices in the node of its class with this tag.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Esta segmentación es simulada</translation>
    </message>
    <message>
        <source>It is a result and stays as it is. Choose the segmentation of the CT before treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Es un resultado y se queda como está. Elija la segmentación de la TC antes del tratamiento</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.exploration</name>
    <message>
        <source>&lt;b&gt;Question:&lt;/b&gt; {text}</source>
        <extracomment>True while the job that runs is the search, and not one of another panel.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;Pregunta:&lt;/b&gt; {text}</translation>
    </message>
    <message>
        <source>The goal leaves a question open: change it, or confirm its reading</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El objetivo deja una pregunta abierta: cámbielo o confirme su lectura</translation>
    </message>
    <message>
        <source>Rank {rank}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Rango {rank}</translation>
    </message>
    <message>
        <source>The table changes until the search has ended. Then click a row to see it.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La tabla cambia hasta que termina la búsqueda. Después haga clic en una fila para verla.</translation>
    </message>
    <message>
        <source>Click a row to see it.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Haga clic en una fila para verla.</translation>
    </message>
    <message>
        <source>Shown in the views: rank {rank}. More in the panel Outcome.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>En las vistas: rango {rank}. Más en el panel Resultado.</translation>
    </message>
    <message>
        <source>No simulated CT of this rank was kept. To see it, add it to your protocols and simulate it.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se conservó ninguna TC simulada de este rango. Para verla, añádalo a sus protocolos y simúlelo.</translation>
    </message>
    <message>
        <source>Outdated: {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Desactualizado: {reason}</translation>
    </message>
    <message>
        <source>Explore protocols first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Explore primero los protocolos</translation>
    </message>
    <message>
        <source>Select a row first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Seleccione primero una fila</translation>
    </message>
    <message>
        <source>E&amp;xplore protocols</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>E&amp;xplorar protocolos</translation>
    </message>
    <message>
        <source>&amp;Stopping...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Deteniendo...</translation>
    </message>
    <message>
        <source>The best so far is being saved</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se guarda lo mejor hasta ahora</translation>
    </message>
    <message>
        <source>&amp;Cancel (keeps the best so far)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Cancelar (conserva lo mejor hasta ahora)</translation>
    </message>
    <message>
        <source>Put a protocol together in Actions first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Componga primero un protocolo en Acciones</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.fixes</name>
    <message>
        <source>Open Setup</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir Configuración</translation>
    </message>
    <message>
        <source>Open Patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir Paciente</translation>
    </message>
    <message>
        <source>Open Segmentation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir Segmentación</translation>
    </message>
    <message>
        <source>Treat the largest</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Tratar la más grande</translation>
    </message>
    <message>
        <source>Go on with these labels</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Seguir con estas etiquetas</translation>
    </message>
    <message>
        <source>Go on although it is contraindicated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Seguir aunque está contraindicado</translation>
    </message>
    <message>
        <source>Go on with this registration</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Seguir con este registro</translation>
    </message>
    <message>
        <source>Open Actions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir Acciones</translation>
    </message>
    <message>
        <source>Open Data module</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir el módulo Data</translation>
    </message>
    <message>
        <source>Use the processor (CPU)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Usar el procesador (CPU)</translation>
    </message>
    <message>
        <source>Use one replica</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Usar una réplica</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.followed_ct</name>
    <message>
        <source>Another CT was chosen. The clinical data and the goal were given for the former one. Do they belong to the patient of this CT too? No clears them.</source>
        <extracomment>Ids of the CT that is chosen and of the last one that was: between two of them there may be none.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se eligió otra TC. Los datos clínicos y el objetivo se indicaron para la anterior. ¿Pertenecen también al paciente de esta TC? No los borra.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.front</name>
    <message>
        <source>&lt;b&gt;Research use only.&lt;/b&gt; Simulated volumes are not scans, predicted risks are not a prognosis, and a ranked protocol is not a treatment recommendation.</source>
        <extracomment>What starts a worker, and what loads a sample; tests give their own. The step that is next; its panel unfolds when it becomes that.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&lt;b&gt;Solo para investigación.&lt;/b&gt; Los volúmenes simulados no son exploraciones, los riesgos predichos no son un pronóstico y un protocolo clasificado no es una recomendación de tratamiento.</translation>
    </message>
    <message>
        <source>1. Patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>1. Paciente</translation>
    </message>
    <message>
        <source>2. Segmentation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>2. Segmentación</translation>
    </message>
    <message>
        <source>3. Actions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>3. Acciones</translation>
    </message>
    <message>
        <source>4. Simulation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>4. Simulación</translation>
    </message>
    <message>
        <source>5. Exploration</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>5. Exploración</translation>
    </message>
    <message>
        <source>6. Outcome</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>6. Resultado</translation>
    </message>
    <message>
        <source>Setup</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Configuración</translation>
    </message>
    <message>
        <source>Its CT was deleted.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Su TC fue eliminada.</translation>
    </message>
    <message>
        <source>It was simulated on another CT: {name}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se simuló sobre otra TC: {name}.</translation>
    </message>
    <message>
        <source>A job is running</source>
        <extracomment>Called when packages were installed.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hay un trabajo en curso</translation>
    </message>
    <message>
        <source>Choose a CT in the panel Patient first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija primero una TC en el panel Paciente</translation>
    </message>
    <message>
        <source>Find liver and tumour in the panel Segmentation first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Busque primero el hígado y el tumor en el panel Segmentación</translation>
    </message>
    <message>
        <source>Another CT was chosen meanwhile: the result is in the scene and in the panel Outcome</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Entretanto se eligió otra TC: el resultado está en la escena y en el panel Resultado</translation>
    </message>
    <message>
        <source>Reader study</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Estudio de lectores</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.install</name>
    <message>
        <source>The folder of offline packages does not exist</source>
        <extracomment>On a light and on a dark background, each with a contrast of at least 4.5 to 1 (WCAG 2, level AA). Requirement by the name that Python imports; without these the panels cannot be built. The worker needs these too; torch comes through the extension PyTorch. The report needs these; everything else works without them. DICOM is written with it. Packages that require PyTorch themselves: pip would install one with them. Slicer&apos;s own builds, and PyTorch: pip must neither replace nor upgrade them. The extension PyTorch installs with light-the-torch, which refuses pip from this version on (light-the-torch 0.8.1). Where the user&apos;s settings say what is being installed.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La carpeta de paquetes sin conexión no existe</translation>
    </message>
    <message>
        <source>Choose another folder, or leave it empty to use the package index</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija otra carpeta, o déjela vacía para usar el índice de paquetes</translation>
    </message>
    <message>
        <source>The packages could not be installed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los paquetes no se pudieron instalar</translation>
    </message>
    <message>
        <source>Check the network and proxy, or name a folder with offline packages</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Compruebe la red y el proxy, o indique una carpeta con paquetes sin conexión</translation>
    </message>
    <message>
        <source>The installed PyTorch is too old</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El PyTorch instalado es demasiado antiguo</translation>
    </message>
    <message>
        <source>MeWM does not replace it. Open the module PyTorch Utils, uninstall PyTorch, restart Slicer and press Install packages... again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>MeWM no lo sustituye. Abra el módulo PyTorch Utils, desinstale PyTorch, reinicie Slicer y pulse de nuevo Instalar paquetes...</translation>
    </message>
    <message>
        <source>The extension PyTorch is not installed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La extensión PyTorch no está instalada</translation>
    </message>
    <message>
        <source>Install it with the Extensions Manager and restart Slicer; MeWM then continues by itself</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Instálela con el Extensions Manager y reinicie Slicer; MeWM continúa entonces por sí mismo</translation>
    </message>
    <message>
        <source>The extension PyTorch could not install PyTorch</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La extensión PyTorch no pudo instalar PyTorch</translation>
    </message>
    <message>
        <source>PyTorch was not installed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>PyTorch no se instaló</translation>
    </message>
    <message>
        <source>See the extension PyTorch</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Véase la extensión PyTorch</translation>
    </message>
    <message>
        <source>The extension installs with light-the-torch, which needs pip older than {limit}, and Slicer has pip {pip}. In Slicer&apos;s Python console run slicer.util.pip_install(&apos;pip&lt;{limit}&apos;), restart Slicer and press Install packages... again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La extensión instala con light-the-torch, que necesita un pip anterior a {limit}, y Slicer tiene pip {pip}. En la consola de Python de Slicer ejecute slicer.util.pip_install(&apos;pip&lt;{limit}&apos;), reinicie Slicer y pulse de nuevo Instalar paquetes...</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.job_desk</name>
    <message>
        <source>Another job is running</source>
        <extracomment>A worker that no job has needed for so long is ended, for its memory. The last one that told of progress. Makes the runner of a job; the panel Setup replaces it by a remote one when a server was chosen. The worker stays between jobs, with the networks loaded, until the scene is closed or nobody needs it. Called before a task that needs a runner begins; it may ask the user and raises to refuse. Called when a task has failed or was stopped: a job of it may go on elsewhere. Called where a job tells how far it is, and nothing else has changed. Counts tasks, so that whatever arrives of a task that is over is dropped. True while `beside` has a thread at work, and what it does next.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hay otro trabajo en curso</translation>
    </message>
    <message>
        <source>Wait for it to finish, or press Cancel</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Espere a que termine o pulse Cancelar</translation>
    </message>
    <message>
        <source>The job was stopped</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El trabajo se detuvo</translation>
    </message>
    <message>
        <source>Stopping; the best so far is being saved</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Deteniendo; se guarda lo mejor hasta ahora</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.keys</name>
    <message>
        <source>Fade towards the scan before treatment</source>
        <extracomment>What each key does, in words for the tool tip of its widget.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fundir hacia la exploración antes del tratamiento</translation>
    </message>
    <message>
        <source>Fade towards the simulated CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fundir hacia la TC simulada</translation>
    </message>
    <message>
        <source>Flicker on or off</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Parpadeo sí o no</translation>
    </message>
    <message>
        <source>Previous rank</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Rango anterior</translation>
    </message>
    <message>
        <source>Next rank</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Rango siguiente</translation>
    </message>
    <message>
        <source>Go to the lesion</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ir a la lesión</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.left</name>
    <message>
        <source>Cancelling a job</source>
        <extracomment>What the user has not decided on yet, and the ids of what was to be left.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cancelando un trabajo</translation>
    </message>
    <message>
        <source>The job was cancelled, and its files were removed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El trabajo se canceló y sus archivos se eliminaron</translation>
    </message>
    <message>
        <source>{what}: a job for {name}, begun {time}, was not followed to its end. It goes on at {server}, and its result can be fetched from there.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{what}: un trabajo para {name}, iniciado el {time}, no se siguió hasta el final. Continúa en {server}, y su resultado se puede recoger allí.</translation>
    </message>
    <message>
        <source>{what}: a job for {name}, begun {time}, was cut off when Slicer ended. It can go on from there.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{what}: un trabajo para {name}, iniciado el {time}, se interrumpió cuando Slicer terminó. Puede continuar desde ese punto.</translation>
    </message>
    <message>
        <source>{what}: a job for {name}, begun {time}, was cut off when Slicer ended. It can be done again.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{what}: un trabajo para {name}, iniciado el {time}, se interrumpió cuando Slicer terminó. Se puede hacer de nuevo.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.left_jobs</name>
    <message>
        <source>The job is over</source>
        <extracomment>By this a note on a job says that panels have begun it.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El trabajo ha terminado</translation>
    </message>
    <message>
        <source>Start it again, or see where it went on</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Inícielo de nuevo, o mire dónde continuó</translation>
    </message>
    <message>
        <source>This job is followed by another program</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Otro programa sigue este trabajo</translation>
    </message>
    <message>
        <source>process {number}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>proceso {number}</translation>
    </message>
    <message>
        <source>Wait until it is done, or end that program first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Espere hasta que termine, o cierre antes ese programa</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.messages</name>
    <message>
        <source>{text} ... (the rest is in Slicer&apos;s error log)</source>
        <extracomment>The worker also speaks to users of the command line; here its options become the names of widgets, in English as the sentences around them. Nobody reads more than this in a dialog; the whole text is in Slicer&apos;s log.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{text} ... (el resto está en el registro de errores de Slicer)</translation>
    </message>
    <message>
        <source>Something unexpected went wrong in the module</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Algo inesperado falló en el módulo</translation>
    </message>
    <message>
        <source>This is a bug in MeWM: please report it with the text of Slicer&apos;s error log</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Es un error de MeWM: notifíquelo con el texto del registro de errores de Slicer</translation>
    </message>
    <message>
        <source>Found: {text}</source>
        <extracomment>The last error as it was shown, and as it was raised.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Encontrado: {text}</translation>
    </message>
    <message>
        <source>What to do: {text}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Qué hacer: {text}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.mine</name>
    <message>
        <source>It is not simulated yet: tick it in the panel Simulation, or take an action over.</source>
        <extracomment>The candidate of a search that was shown last: a simulation of my own must not take its place.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no está simulado: márquelo en el panel Simulación o adopte una acción.</translation>
    </message>
    <message>
        <source>My protocol (panel Actions): {name}: {protocol}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mi protocolo (panel Acciones): {name}: {protocol}.</translation>
    </message>
    <message>
        <source>Take this over into my protocol and simulate it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Adoptar esto en mi protocolo y simularlo</translation>
    </message>
    <message>
        <source>&amp;{number}  Take over: {swap}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;{number}  Adoptar: {swap}</translation>
    </message>
    <message>
        <source>Take over: {swap}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Adoptar: {swap}</translation>
    </message>
    <message>
        <source>Mine minus rank {rank}: {change} log-risk; its spread is not known.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El mío menos el del rango {rank}: {change} de riesgo logarítmico; no se conoce su dispersión.</translation>
    </message>
    <message>
        <source>Mine minus rank {rank}: {change} log-risk (95 % interval {interval}; lower is better).</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El mío menos el del rango {rank}: {change} de riesgo logarítmico (intervalo del 95 % {interval}; cuanto más bajo, mejor).</translation>
    </message>
    <message>
        <source>Mine is truly better with a probability of {percent:.0f} %.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El mío es realmente mejor con una probabilidad del {percent:.0f} %.</translation>
    </message>
    <message>
        <source>Rank {rank} is truly better with a probability of {percent:.0f} %.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El rango {rank} es realmente mejor con una probabilidad del {percent:.0f} %.</translation>
    </message>
    <message>
        <source>The two are told apart.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los dos se distinguen.</translation>
    </message>
    <message>
        <source>The two CANNOT BE TOLD APART.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los dos NO SE PUEDEN DISTINGUIR.</translation>
    </message>
    <message>
        <source>{change}, cannot be told apart</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{change}, no se puede distinguir</translation>
    </message>
    <message>
        <source>{change}, 95 % interval {interval}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{change}, intervalo del 95 % {interval}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.origin</name>
    <message>
        <source>The clinical data are others now.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los datos clínicos son ahora otros.</translation>
    </message>
    <message>
        <source>The goal is another one now.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El objetivo es ahora otro.</translation>
    </message>
    <message>
        <source>The CT or its segmentation has changed since.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La TC o su segmentación ha cambiado desde entonces.</translation>
    </message>
    <message>
        <source>The CT or its segmentation cannot be used any more.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La TC o su segmentación ya no se pueden usar.</translation>
    </message>
    <message>
        <source>It belongs to another CT, or the CT has changed since.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pertenece a otra TC, o la TC ha cambiado desde entonces.</translation>
    </message>
    <message>
        <source>The segmentation has changed since.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La segmentación ha cambiado desde entonces.</translation>
    </message>
    <message>
        <source>The CT after treatment is another one now, or has changed since.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La TC posterior al tratamiento es otra ahora, o ha cambiado desde entonces.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.outcome</name>
    <message>
        <source>Folder for the report</source>
        <extracomment>Where the user&apos;s settings say that the details are unfolded. Tells whether the assessment still holds.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Carpeta para el informe</translation>
    </message>
    <message>
        <source>The report: {link}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El informe: {link}</translation>
    </message>
    <message>
        <source>From the real CT after treatment: predicted risk {risk:+.2f}{span} (hazard ratio {ratio:.2f}), median survival {median}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>A partir de la TC real tras el tratamiento: riesgo predicho {risk:+.2f}{span} (razón de riesgos {ratio:.2f}), mediana de supervivencia {median}.</translation>
    </message>
    <message>
        <source>{n:.1f} months</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{n:.1f} meses</translation>
    </message>
    <message>
        <source>not reached</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>no alcanzada</translation>
    </message>
    <message>
        <source>Nothing has been simulated yet: press Simulate or Explore protocols.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no se ha simulado nada: pulse Simular o Explorar protocolos.</translation>
    </message>
    <message>
        <source>Outdated: {reason}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Desactualizado: {reason}</translation>
    </message>
    <message>
        <source>Choose a CT after treatment in the panel Patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija una TC tras el tratamiento en el panel Paciente</translation>
    </message>
    <message>
        <source>No lesion is known yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no se conoce ninguna lesión</translation>
    </message>
    <message>
        <source>There are no survival curves</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No hay curvas de supervivencia</translation>
    </message>
    <message>
        <source>{title} [outdated]</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{title} [desactualizado]</translation>
    </message>
    <message>
        <source>Difference in HU, or standard deviation over the replicas, with a legend</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Diferencia en UH, o desviación estándar entre las réplicas, con una leyenda</translation>
    </message>
    <message>
        <source>Uncertainty is available only for rank {rank}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La incertidumbre solo está disponible para el rango {rank}</translation>
    </message>
    <message>
        <source>{rank}  [no volume]</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{rank}  [sin volumen]</translation>
    </message>
    <message>
        <source>Registration: {word} ({text}).</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Registro: {word} ({text}).</translation>
    </message>
    <message>
        <source>{criterion}: {category} ({reasons}).</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{criterion}: {category} ({reasons}).</translation>
    </message>
    <message>
        <source>{criterion}: cannot be judged ({reasons}).</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{criterion}: no se puede juzgar ({reasons}).</translation>
    </message>
    <message>
        <source>Lesion {n}: {category} ({reasons}).</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lesión {n}: {category} ({reasons}).</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.patient</name>
    <message>
        <source>Loading the sample</source>
        <extracomment>Clinical data, one parameter for each field of the table in `core.clinical`. Widgets of the clinical fields by their names.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cargando la muestra</translation>
    </message>
    <message>
        <source>Sample {name}, after {protocol}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Muestra {name}, tras {protocol}</translation>
    </message>
    <message>
        <source>No CT has been chosen yet. Load the sample to try MeWM.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no se ha elegido ninguna TC. Cargue la muestra para probar MeWM.</translation>
    </message>
    <message>
        <source>The chosen volume is empty.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El volumen elegido está vacío.</translation>
    </message>
    <message>
        <source>{size} voxels of {spacing} mm.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{size} vóxeles de {spacing} mm.</translation>
    </message>
    <message>
        <source>It is under a transform: harden that first (right click in the Data module).</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Está bajo una transformación: aplíquela primero (clic derecho en el módulo Data).</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.patient_fields</name>
    <message>
        <source>not known; write none, or one | another</source>
        <extracomment>Qt property by which a widget is bound to a parameter.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>desconocido; escriba none, o una | otra</translation>
    </message>
    <message>
        <source>not known</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>desconocido</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.planning</name>
    <message>
        <source>There are several volumes: choose the CT in the panel Patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hay varios volúmenes: elija la TC en el panel Paciente</translation>
    </message>
    <message>
        <source>Load a CT first, or the sample in the panel Patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cargue primero una TC, o la muestra en el panel Paciente</translation>
    </message>
    <message>
        <source>{name}: finds liver and tumour, proposes, simulates and shows the overlay.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{name}: busca hígado y tumor, propone, simula y muestra la superposición.</translation>
    </message>
    <message>
        <source>Planning for this CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Planificando para esta TC</translation>
    </message>
    <message>
        <source>Nothing can be suggested for this patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se puede sugerir nada para este paciente</translation>
    </message>
    <message>
        <source>the rules or the goal leave no drug or no embolic</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>las reglas o el objetivo no dejan ningún fármaco o ningún embolizante</translation>
    </message>
    <message>
        <source>Put a protocol together in the panel Actions, or change the goal in Exploration</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Componga un protocolo en el panel Acciones, o cambie el objetivo en Exploración</translation>
    </message>
    <message>
        <source>Suggested {n}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sugerido {n}</translation>
    </message>
    <message>
        <source>Age and sex were taken from the DICOM files, as far as they were not given</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La edad y el sexo se tomaron de los archivos DICOM, en la medida en que no se habían indicado</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.progress</name>
    <message>
        <source>The worker stays ready for this scene and keeps {memory:.1f} GB.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El proceso de cálculo sigue listo para esta escena y ocupa {memory:.1f} GB.</translation>
    </message>
    <message>
        <source>about {n} s left</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>quedan unos {n} s</translation>
    </message>
    <message>
        <source>about {n} min left</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>quedan unos {n} min</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.ranks</name>
    <message>
        <source>Rank</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Rango</translation>
    </message>
    <message>
        <source>1 is the best</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>1 es el mejor</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Protocolo</translation>
    </message>
    <message>
        <source>Kind of protocol, and agents with doses</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Tipo de protocolo y agentes con dosis</translation>
    </message>
    <message>
        <source>Log-risk</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Riesgo log.</translation>
    </message>
    <message>
        <source>Hazard</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Riesgo</translation>
    </message>
    <message>
        <source>Hazard ratio, exp(log-risk): 2 is twice the risk of death</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Razón de riesgos, exp(riesgo logarítmico): 2 es el doble de riesgo de muerte</translation>
    </message>
    <message>
        <source>Viable</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Viable</translation>
    </message>
    <message>
        <source>Survival</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Supervivencia</translation>
    </message>
    <message>
        <source>Predicted median survival</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mediana de supervivencia predicha</translation>
    </message>
    <message>
        <source>{n:.1f} months</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{n:.1f} meses</translation>
    </message>
    <message>
        <source>over {n:g} months</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>más de {n:g} meses</translation>
    </message>
    <message>
        <source>not reached</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>no alcanzada</translation>
    </message>
    <message>
        <source>Cannot be judged: {missing}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se puede juzgar: {missing}</translation>
    </message>
    <message>
        <source>Predicted risk of death (lower is better): &lt;b&gt;{risk}&lt;/b&gt;, a point estimate: one replica has no range</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Riesgo de muerte predicho (cuanto más bajo, mejor): &lt;b&gt;{risk}&lt;/b&gt;, una estimación puntual: una sola réplica no tiene intervalo</translation>
    </message>
    <message>
        <source>Predicted risk of death (lower is better): &lt;b&gt;{risk}&lt;/b&gt;, range of {n} replicas {span}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Riesgo de muerte predicho (cuanto más bajo, mejor): &lt;b&gt;{risk}&lt;/b&gt;, intervalo de {n} réplicas {span}</translation>
    </message>
    <message>
        <source>Predicted median survival: {time}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mediana de supervivencia predicha: {time}</translation>
    </message>
    <message>
        <source>Simulated; research use only. Seed {seed}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simulado; solo para investigación. Semilla {seed}.</translation>
    </message>
    <message>
        <source>Tissue with Lipiodol: {ml:.1f} ml</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Tejido con Lipiodol: {ml:.1f} ml</translation>
    </message>
    <message>
        <source>Lipiodol itself: {ml:.2f} ml</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lipiodol en sí: {ml:.2f} ml</translation>
    </message>
    <message>
        <source>Change of the viable volume of all tumour in the scan, mean of the replicas</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cambio del volumen viable de todo el tumor del estudio, media de las réplicas</translation>
    </message>
    <message>
        <source>All tumour in the scan, mean of the replicas: {volume:.1f} → {volume_after:.1f} ml, viable {viable:.1f} → {viable_after:.1f} ml ({percent:+.0f} %)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Todo el tumor del estudio, media de las réplicas: {volume:.1f} → {volume_after:.1f} ml, viable {viable:.1f} → {viable_after:.1f} ml ({percent:+.0f} %)</translation>
    </message>
    <message>
        <source>Score</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Puntuación</translation>
    </message>
    <message>
        <source>Ranked by score, lowest first: the log-risk and what the weights of the search add, such as for warnings and for agents beyond two.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ordenado por puntuación, la más baja primero: el riesgo logarítmico y lo que añaden los pesos de la búsqueda, por ejemplo por advertencias y por agentes a partir del tercero.</translation>
    </message>
    <message>
        <source>Ranked by log-risk, lowest first.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ordenado por riesgo logarítmico, el más bajo primero.</translation>
    </message>
    <message>
        <source>Outside of what the model was trained on, in {n} points: see Details.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fuera de aquello con lo que se entrenó el modelo, en {n} puntos: véase Detalles.</translation>
    </message>
    <message>
        <source>Simulated {criterion}: {category}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{criterion} simulado: {category}.</translation>
    </message>
    <message>
        <source>Simulated {criterion}: not judged.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{criterion} simulado: no se puede juzgar.</translation>
    </message>
    <message>
        <source>0 is the average synthetic patient; lower is better</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>0 es el paciente sintético medio; cuanto más bajo, mejor</translation>
    </message>
    <message>
        <source>Interval</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Intervalo</translation>
    </message>
    <message>
        <source>Where the true log-risk lies with 95 %; for models that do not tell it, the lowest and highest replica (one simulation with its own seed)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dónde está el log-riesgo verdadero con un 95 %; en los modelos que no lo dicen, la réplica más baja y la más alta (una simulación con su propia semilla)</translation>
    </message>
    <message>
        <source>Predicted risk of death (lower is better): &lt;b&gt;{risk}&lt;/b&gt;, 95 % interval {span}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Riesgo de muerte predicho (cuanto más bajo, mejor): &lt;b&gt;{risk}&lt;/b&gt;, intervalo del 95 % {span}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.reader</name>
    <message>
        <source>Folder of the reader study</source>
        <extracomment>How often it is looked what is looked at.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Carpeta del estudio de lectores</translation>
    </message>
    <message>
        <source>Open the folder of a study first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abra primero la carpeta de un estudio</translation>
    </message>
    <message>
        <source>No case is shown</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se muestra ningún caso</translation>
    </message>
    <message>
        <source>Say what it is and how sure you are</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Diga qué es y cuán seguro está</translation>
    </message>
    <message>
        <source>&amp;Go on</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Continuar</translation>
    </message>
    <message>
        <source>&amp;Pause</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Pausa</translation>
    </message>
    <message>
        <source>A study is a folder that `mewm study make` wrote. Its pictures may be simulated; answers stay in that folder.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Un estudio es una carpeta que escribió `mewm study make`. Sus imágenes pueden ser simuladas; las respuestas se quedan en esa carpeta.</translation>
    </message>
    <message>
        <source>All {total} cases are answered. Give {file} to whoever runs the study.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los {total} casos están respondidos. Entregue {file} a quien dirige el estudio.</translation>
    </message>
    <message>
        <source>Paused before case {n} of {total}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>En pausa antes del caso {n} de {total}.</translation>
    </message>
    <message>
        <source>Case {n} of {total}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Caso {n} de {total}.</translation>
    </message>
    <message>
        <source>{title}. Cases: {cases}; sessions: {sessions}. Pictures may be simulated. Research use only.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{title}. Casos: {cases}; sesiones: {sessions}. Las imágenes pueden ser simuladas. Solo para investigación.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.reports</name>
    <message>
        <source>The report needs packages that are not installed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El informe necesita paquetes que no están instalados</translation>
    </message>
    <message>
        <source>Press Install packages... in the panel Setup</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse Instalar paquetes... en el panel Configuración</translation>
    </message>
    <message>
        <source>The CT or the segmentation of this comparison was deleted</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La TC o la segmentación de esta comparación fue eliminada</translation>
    </message>
    <message>
        <source>Simulate again with a CT and a segmentation that are in the scene</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simule de nuevo con una TC y una segmentación que estén en la escena</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.results</name>
    <message>
        <source>The job was stopped before anything had been simulated</source>
        <extracomment>What the task read; known once it has read it.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El trabajo se detuvo antes de que se hubiera simulado nada</translation>
    </message>
    <message>
        <source>Let it run a little longer</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Déjelo funcionar un poco más</translation>
    </message>
    <message>
        <source>The plan in the scene</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El plan de la escena</translation>
    </message>
    <message>
        <source>{n} protocols, stopped early: {best}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{n} protocolos, detenido antes de tiempo: {best}</translation>
    </message>
    <message>
        <source>{n} protocols: {best}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{n} protocolos: {best}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.sample_data</name>
    <message>
        <source>The samples of MeWM need Python packages that are not installed: {names}. Press Install packages...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Las muestras de MeWM necesitan paquetes de Python que no están instalados: {names}. Pulse Instalar paquetes...</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.segmentation</name>
    <message>
        <source>Lesion</source>
        <extracomment>The samples by name, with titles for a menu. The last one brings a CT after treatment too.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lesión</translation>
    </message>
    <message>
        <source>Diameter mm</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Diámetro mm</translation>
    </message>
    <message>
        <source>Volume ml</source>
        <extracomment>What the patient of the last sample was given, in the synthetic world.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Volumen ml</translation>
    </message>
    <message>
        <source>Mean HU</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>UH media</translation>
    </message>
    <message>
        <source>Viable ml</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Viable ml</translation>
    </message>
    <message>
        <source>Necrosis %</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Necrosis %</translation>
    </message>
    <message>
        <source>Lipiodol %</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lipiodol %</translation>
    </message>
    <message>
        <source>Choose a CT in the panel Patient first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija primero una TC en el panel Paciente</translation>
    </message>
    <message>
        <source>There is no segmentation yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no hay ninguna segmentación</translation>
    </message>
    <message>
        <source>Not measured yet.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún sin medir.</translation>
    </message>
    <message>
        <source>Liver {liver:.0f} ml, tumour {tumour:.1f} ml.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hígado {liver:.0f} ml, tumor {tumour:.1f} ml.</translation>
    </message>
    <message>
        <source>Outdated: {reason} Press Measure lesions.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Desactualizado: {reason} Pulse Medir lesiones.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.server_section</name>
    <message>
        <source>Open Setup</source>
        <extracomment>What the server said about itself, by its address.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir Configuración</translation>
    </message>
    <message>
        <source>Nothing was sent: you did not agree</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se envió nada: usted no aceptó</translation>
    </message>
    <message>
        <source>Choose this computer in Setup, or agree when you are asked again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija este ordenador en Configuración, o acepte cuando se le pregunte de nuevo</translation>
    </message>
    <message>
        <source>Nothing was sent: the address of the server has changed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se envió nada: la dirección del servidor ha cambiado</translation>
    </message>
    <message>
        <source>Start the job again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Inicie el trabajo de nuevo</translation>
    </message>
    <message>
        <source>Asking the server...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Preguntando al servidor...</translation>
    </message>
    <message>
        <source>Token file</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Archivo del token</translation>
    </message>
    <message>
        <source>Privacy: everything is computed on this computer. MeWM sends nothing.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Privacidad: todo se calcula en este ordenador. MeWM no envía nada.</translation>
    </message>
    <message>
        <source>Not tested yet.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún sin probar.</translation>
    </message>
    <message>
        <source>Type in the address of a server.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escriba la dirección de un servidor.</translation>
    </message>
    <message>
        <source>You have not agreed that images go to this address</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No ha aceptado que se envíen imágenes a esta dirección</translation>
    </message>
    <message>
        <source>Type in the address of a server</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escriba la dirección de un servidor</translation>
    </message>
    <message>
        <source>The server is being asked</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se está preguntando al servidor</translation>
    </message>
    <message>
        <source>Send images to this server?</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>¿Enviar imágenes a este servidor?</translation>
    </message>
    <message>
        <source>What leaves this computer when you start a job: the voxels and the grid of the CT, the segmentation, clinical data without dates, the goal as you typed it, and the settings of the job.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lo que sale de este ordenador cuando inicia un trabajo: los vóxeles y la rejilla de la TC, la segmentación, los datos clínicos sin fechas, el objetivo tal como lo escribió y los ajustes del trabajo.</translation>
    </message>
    <message>
        <source>What does not: names, ids, dates, DICOM headers, paths of files.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lo que no sale: nombres, identificadores, fechas, cabeceras DICOM, rutas de archivos.</translation>
    </message>
    <message>
        <source>The server removes the data when the job is done. You are asked once for each address.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El servidor elimina los datos cuando termina el trabajo. Se le pregunta una vez por cada dirección.</translation>
    </message>
    <message>
        <source>The connection is NOT encrypted: anyone in between can read the images and the token.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La conexión NO está cifrada: cualquiera entre medias puede leer las imágenes y el token.</translation>
    </message>
    <message>
        <source>Privacy: nothing is sent until you enter an address.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Privacidad: no se envía nada hasta que introduzca una dirección.</translation>
    </message>
    <message>
        <source>Privacy: jobs send the voxels of the CT, the segmentation, clinical data, goal and settings to {url}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Privacidad: los trabajos envían los vóxeles de la TC, la segmentación, los datos clínicos, el objetivo y los ajustes a {url}.</translation>
    </message>
    <message>
        <source>The connection is not encrypted.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La conexión no está cifrada.</translation>
    </message>
    <message>
        <source>none</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>ninguno</translation>
    </message>
    <message>
        <source>Connected. MeWM {version}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Conectado. MeWM {version}</translation>
    </message>
    <message>
        <source>Device: {name}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dispositivo: {name}</translation>
    </message>
    <message>
        <source>Models: {names}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Modelos: {names}</translation>
    </message>
    <message>
        <source>Jobs running: {n} / {most}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Trabajos en curso: {n} / {most}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.setup</name>
    <message>
        <source>Import model</source>
        <extracomment>Of a former run, whose job was taken up. Models and missing packages, which are looked for on the disk.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Importar modelo</translation>
    </message>
    <message>
        <source>Model bundle (*.zip)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Paquete de modelo (*.zip)</translation>
    </message>
    <message>
        <source>Importing a model</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Importando un modelo</translation>
    </message>
    <message>
        <source>Imported: {name}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Importado: {name}</translation>
    </message>
    <message>
        <source>Delete the model {name}?</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>¿Eliminar el modelo {name}?</translation>
    </message>
    <message>
        <source>Asking the Python of the worker...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Preguntando al Python del proceso de cálculo...</translation>
    </message>
    <message>
        <source>These packages will be installed into Slicer&apos;s Python:

{names}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Estos paquetes se instalarán en el Python de Slicer:

{names}</translation>
    </message>
    <message>
        <source>default</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>predeterminado</translation>
    </message>
    <message>
        <source>{name} (missing)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>{name} (falta)</translation>
    </message>
    <message>
        <source>No model is installed. Press Import model... and choose a bundle.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No hay ningún modelo instalado. Pulse Importar modelo... y elija un paquete.</translation>
    </message>
    <message>
        <source>Missing packages: {names}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Paquetes que faltan: {names}</translation>
    </message>
    <message>
        <source>All packages are installed.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Todos los paquetes están instalados.</translation>
    </message>
    <message>
        <source>A job is running</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hay un trabajo en curso</translation>
    </message>
    <message>
        <source>A server&apos;s models are managed on the server</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los modelos de un servidor se gestionan en el servidor</translation>
    </message>
    <message>
        <source>Choose a model that you imported</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija un modelo que haya importado</translation>
    </message>
    <message>
        <source>Nothing is missing</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No falta nada</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.simulation</name>
    <message>
        <source>&amp;Simulate {n} protocols</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Simular {n} protocolos</translation>
    </message>
    <message>
        <source>&amp;Simulate</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Simular</translation>
    </message>
    <message>
        <source>Put a protocol together in the panel Actions first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Componga primero un protocolo en el panel Acciones</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.taking_up</name>
    <message>
        <source>Taking up: {what}</source>
        <extracomment>Longer than a worker lives whose parent died.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Retomando: {what}</translation>
    </message>
    <message>
        <source>The CT of this job is not in the scene, and the copy of it is gone</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La TC de este trabajo no está en la escena, y su copia ya no existe</translation>
    </message>
    <message>
        <source>Load that CT, then take the job up again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cargue esa TC y retome después el trabajo</translation>
    </message>
    <message>
        <source>The segmentation of this job is not the chosen one, and the copy of it is gone</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La segmentación de este trabajo no es la elegida, y su copia ya no existe</translation>
    </message>
    <message>
        <source>Choose the segmentation that it was begun with, then take the job up again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elija la segmentación con la que se inició y retome después el trabajo</translation>
    </message>
    <message>
        <source>The CT of the job is not in the scene: the job&apos;s own copy was added</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La TC del trabajo no está en la escena: se añadió la copia del propio trabajo</translation>
    </message>
    <message>
        <source>Liver and tumour ({name}MeWM)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hígado y tumor ({name}MeWM)</translation>
    </message>
    <message>
        <source>CT after treatment of {name}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>TC tras el tratamiento de {name}</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.tasks</name>
    <message>
        <source>Another CT was chosen meanwhile: its liver and tumour were not looked for</source>
        <extracomment>What it takes to take up a job of this task after Slicer was killed (`taking_up`), as JSON. Inputs of a job by which the user goes on where it stopped; and what a task is started again with.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Entretanto se eligió otra TC: no se buscaron su hígado ni su tumor</translation>
    </message>
    <message>
        <source>Liver and tumour ({name}MeWM)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Hígado y tumor ({name}MeWM)</translation>
    </message>
    <message>
        <source>Liver and tumour were found. Look at the outlines before you trust what follows</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se encontraron hígado y tumor. Mire los contornos antes de fiarse de lo que sigue</translation>
    </message>
    <message>
        <source>No protocol was chosen</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se eligió ningún protocolo</translation>
    </message>
    <message>
        <source>Tick one in the panel Simulation, or add one in Actions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Marque uno en el panel Simulación, o añada uno en Acciones</translation>
    </message>
    <message>
        <source>The clinical rules forbid a protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Las reglas clínicas prohíben un protocolo</translation>
    </message>
    <message>
        <source>Change it in the panel Actions, or untick it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cámbielo en el panel Acciones o desmárquelo</translation>
    </message>
    <message>
        <source>Writing the report</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escribiendo el informe</translation>
    </message>
    <message>
        <source>The report was written: {path}</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se escribió el informe: {path}</translation>
    </message>
    <message>
        <source>The lesions that are ticked were measured before something changed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Las lesiones marcadas se midieron antes de que algo cambiara</translation>
    </message>
    <message>
        <source>Press Measure lesions in the panel Segmentation, then tick again what is to be treated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse Medir lesiones en el panel Segmentación y marque de nuevo lo que debe tratarse</translation>
    </message>
    <message>
        <source>Another CT was chosen meanwhile: the findings are not kept</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Entretanto se eligió otra TC: los hallazgos no se conservan</translation>
    </message>
    <message>
        <source>Done: the lesions are measured</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Listo: las lesiones están medidas</translation>
    </message>
    <message>
        <source>The CT was deleted in the meantime: a copy was added beside the simulated volumes</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Entretanto se eliminó la TC: se añadió una copia junto a los volúmenes simulados</translation>
    </message>
    <message>
        <source>Done: {n} protocols</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Listo: {n} protocolos</translation>
    </message>
    <message>
        <source>Done: 1 protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Listo: 1 protocolo</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.treated</name>
    <message>
        <source>Ri&amp;ght lobe</source>
        <extracomment>A button for each lobe and each segment.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lóbulo derec&amp;ho</translation>
    </message>
    <message>
        <source>Le&amp;ft lobe</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lóbulo i&amp;zquierdo</translation>
    </message>
    <message>
        <source>Fed by the treated artery: {part}. Click to add it or to take it out</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Irrigado por la arteria tratada: {part}. Haga clic para añadirlo o quitarlo</translation>
    </message>
    <message>
        <source>There is no segmentation yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Aún no hay ninguna segmentación</translation>
    </message>
    <message>
        <source>Press Find liver and tumour first, or choose a segmentation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pulse primero Buscar hígado y tumor, o elija una segmentación</translation>
    </message>
    <message>
        <source>Fed region</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Región irrigada</translation>
    </message>
    <message>
        <source>none</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>ninguno</translation>
    </message>
    <message>
        <source>Segment the liver first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmente primero el hígado</translation>
    </message>
    <message>
        <source>Nothing is ticked: all tumour is treated.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No hay nada marcado: se trata todo el tumor.</translation>
    </message>
    <message>
        <source>The ticks are for lesions that were measured before something changed: measure again.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Las marcas son de lesiones que se midieron antes de que algo cambiara: mida de nuevo.</translation>
    </message>
    <message>
        <source>Treated: lesion {numbers}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se trata: lesión {numbers}.</translation>
    </message>
    <message>
        <source>Fed is the painted region alone.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se irriga solo la región pintada.</translation>
    </message>
    <message>
        <source>Paint what it feeds, and choose that segment below.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pinte lo que irriga y elija ese segmento abajo.</translation>
    </message>
    <message>
        <source>The borders of segments are approximate.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Los límites de los segmentos son aproximados.</translation>
    </message>
    <message>
        <source>Fed: {territory}.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Irrigado: {territory}.</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.views</name>
    <message>
        <source>before</source>
        <extracomment>The next one first. Slicer asks extensions to use numbers that nobody else uses.</extracomment>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>antes</translation>
    </message>
    <message>
        <source>SIMULATED</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>SIMULADO</translation>
    </message>
    <message>
        <source>difference</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>diferencia</translation>
    </message>
</context>
<context>
    <name>MeWMPanels.words</name>
    <message>
        <source>Exploring protocols</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Explorando protocolos</translation>
    </message>
    <message>
        <source>Simulating</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simulando</translation>
    </message>
    <message>
        <source>Finding liver and tumour</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Buscando hígado y tumor</translation>
    </message>
    <message>
        <source>Measuring lesions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Midiendo lesiones</translation>
    </message>
    <message>
        <source>Assessing the CT after treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Evaluando la TC tras el tratamiento</translation>
    </message>
    <message>
        <source>Send</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Enviar</translation>
    </message>
    <message>
        <source>Read</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Leer</translation>
    </message>
    <message>
        <source>Load networks</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cargar redes</translation>
    </message>
    <message>
        <source>Segment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmentar</translation>
    </message>
    <message>
        <source>Propose</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Proponer</translation>
    </message>
    <message>
        <source>Write</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escribir</translation>
    </message>
    <message>
        <source>Fetch</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Recibir</translation>
    </message>
    <message>
        <source>Pictures</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Imágenes</translation>
    </message>
    <message>
        <source>Search</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Búsqueda</translation>
    </message>
    <message>
        <source>Simulate the best</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simular los mejores</translation>
    </message>
    <message>
        <source>Simulate</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simular</translation>
    </message>
    <message>
        <source>Write volumes</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escribir volúmenes</translation>
    </message>
    <message>
        <source>Segment the CT after treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmentar la TC tras el tratamiento</translation>
    </message>
    <message>
        <source>Register</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Registrar</translation>
    </message>
    <message>
        <source>Assess the risk</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Evaluar el riesgo</translation>
    </message>
    <message>
        <source>Synthetic CT with liver tumours, drawn without a network</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>TC sintética con tumores hepáticos, dibujada sin red neuronal</translation>
    </message>
    <message>
        <source>Real portal-phase CT with several dark lesions (LiTS 117, a 128^3 crop, 5 MB)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>TC real en fase portal con varias lesiones oscuras (LiTS 117, un recorte de 128^3, 5 MB)</translation>
    </message>
    <message>
        <source>Synthetic CT before and after TACE, for Judge CT after treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>TC sintética antes y después de la TACE, para Juzgar la TC tras el tratamiento</translation>
    </message>
    <message>
        <source>Comparisons</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Comparaciones</translation>
    </message>
    <message>
        <source>Synthetic HCC in the arterial phase, before and after a TACE, drawn without a network</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>CHC sintético en fase arterial, antes y después de una TACE, dibujado sin red neuronal</translation>
    </message>
</context>
<context>
    <name>Outcome</name>
    <message>
        <source>Comparison</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Comparación</translation>
    </message>
    <message>
        <source>Every simulation and exploration of this scene</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Todas las simulaciones y exploraciones de esta escena</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Protocolo</translation>
    </message>
    <message>
        <source>Layout</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Disposición</translation>
    </message>
    <message>
        <source>overlay: simulated CT over the scan; side by side: before, simulated and difference</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>overlay: TC simulada sobre la exploración; side by side: antes, simulado y diferencia</translation>
    </message>
    <message>
        <source>Fade</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fundido</translation>
    </message>
    <message>
        <source>0 shows the scan, 1 the simulated CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>0 muestra la exploración, 1 la TC simulada</translation>
    </message>
    <message>
        <source>Map</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mapa</translation>
    </message>
    <message>
        <source>Difference in HU, or standard deviation over the replicas, with a legend</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Diferencia en UH, o desviación estándar entre las réplicas, con una leyenda</translation>
    </message>
    <message>
        <source>Flic&amp;ker</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Parpadeo</translation>
    </message>
    <message>
        <source>Switch between scan and simulated CT twice a second</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Alternar entre la exploración y la TC simulada dos veces por segundo</translation>
    </message>
    <message>
        <source>Lesion &amp;outlines</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cont&amp;ornos de las lesiones</translation>
    </message>
    <message>
        <source>Blue: before. Orange: simulated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Azul: antes. Naranja: simulado</translation>
    </message>
    <message>
        <source>3D &amp;surfaces</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Superficies 3D</translation>
    </message>
    <message>
        <source>Show liver and lesions in the 3D view</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mostrar hígado y lesiones en la vista 3D</translation>
    </message>
    <message>
        <source>Keys</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Teclas</translation>
    </message>
    <message>
        <source>Go to &amp;lesion</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ir a la &amp;lesión</translation>
    </message>
    <message>
        <source>Move all views to the largest lesion</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mover todas las vistas a la lesión más grande</translation>
    </message>
    <message>
        <source>Survival cur&amp;ves</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cur&amp;vas de supervivencia</translation>
    </message>
    <message>
        <source>Show the predicted survival of the ranked protocols as a plot</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Mostrar como gráfico la supervivencia predicha de los protocolos clasificados</translation>
    </message>
    <message>
        <source>&amp;Report...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Informe...</translation>
    </message>
    <message>
        <source>Write pictures, tables and curves of this comparison as one page for a browser, into a folder of your choice</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escribir imágenes, tablas y curvas de esta comparación como una página para un navegador, en una carpeta que usted elija</translation>
    </message>
    <message>
        <source>&amp;Judge CT after treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Juzgar la TC tras el tratamiento</translation>
    </message>
    <message>
        <source>Predicted risk from the real CT after treatment (panel Patient)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Riesgo predicho a partir de la TC real tras el tratamiento (panel Paciente)</translation>
    </message>
    <message>
        <source>E&amp;xport to DICOM...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>E&amp;xportar a DICOM...</translation>
    </message>
    <message>
        <source>Write segmentations, simulated CTs and reports of this comparison as DICOM objects, into a folder of your choice</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Escribir segmentaciones, TC simuladas e informes de esta comparación como objetos DICOM, en una carpeta de su elección</translation>
    </message>
    <message>
        <source>Best first; those with a simulated CT can be shown</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El mejor primero; se pueden mostrar los que tienen una TC simulada</translation>
    </message>
    <message>
        <source>Details</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Detalles</translation>
    </message>
</context>
<context>
    <name>Patient</name>
    <message>
        <source>A case to try MeWM on</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Un caso para probar MeWM</translation>
    </message>
    <message>
        <source>&amp;Load sample</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Cargar muestra</translation>
    </message>
    <message>
        <source>Load this case and fill the panels</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cargar este caso y rellenar los paneles</translation>
    </message>
    <message>
        <source>Open DI&amp;COM...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Abrir &amp;DICOM...</translation>
    </message>
    <message>
        <source>Go to Slicer&apos;s DICOM module to load a CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ir al módulo DICOM de Slicer para cargar una TC</translation>
    </message>
    <message>
        <source>CT before treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>TC antes del tratamiento</translation>
    </message>
    <message>
        <source>choose a CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>elija una TC</translation>
    </message>
    <message>
        <source>The scan on which treatment is simulated. Other formats: File &gt; Add Data</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La exploración sobre la que se simula el tratamiento. Otros formatos: File &gt; Add Data</translation>
    </message>
    <message>
        <source>Contrast phase</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fase de contraste</translation>
    </message>
    <message>
        <source>Phase of the CT before treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Fase de la TC antes del tratamiento</translation>
    </message>
    <message>
        <source>CT after treatment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>TC tras el tratamiento</translation>
    </message>
    <message>
        <source>none (optional)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>ninguna (opcional)</translation>
    </message>
    <message>
        <source>A real scan after treatment, to be judged in the panel Outcome</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Una exploración real tras el tratamiento, para juzgarla en el panel Resultado</translation>
    </message>
    <message>
        <source>Clinical data (optional, used by the rules)</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Datos clínicos (opcionales, los usan las reglas)</translation>
    </message>
</context>
<context>
    <name>Plan</name>
    <message>
        <source>&amp;Plan for this CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Planificar para esta TC</translation>
    </message>
    <message>
        <source>Find liver and tumour, measure, propose a protocol, simulate it and show it over the scan; each step can also be done by hand below</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Buscar hígado y tumor, medir, proponer un protocolo, simularlo y mostrarlo sobre la exploración; cada paso también puede hacerse a mano más abajo</translation>
    </message>
    <message>
        <source>Take a&amp;ge and sex from the DICOM files</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Tomar e&amp;dad y sexo de los archivos DICOM</translation>
    </message>
    <message>
        <source>Only where they are not given under clinical data; no name, number or date is read, and nothing leaves this computer</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Solo donde no se indicaron en los datos clínicos; no se lee ningún nombre, número ni fecha, y nada sale de este ordenador</translation>
    </message>
</context>
<context>
    <name>Progress</name>
    <message>
        <source>Progress of the job</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Progreso del trabajo</translation>
    </message>
    <message>
        <source>&amp;Cancel</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Cancelar</translation>
    </message>
    <message>
        <source>Stop the job; the best so far is kept</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Detener el trabajo; se conserva lo mejor hasta ahora</translation>
    </message>
    <message>
        <source>&amp;Free memory</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Liberar memoria</translation>
    </message>
    <message>
        <source>End the worker that waits for the next job; that one then takes some seconds longer</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Terminar el proceso que espera el próximo trabajo; este tardará entonces unos segundos más</translation>
    </message>
    <message>
        <source>Log</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Registro</translation>
    </message>
</context>
<context>
    <name>Reader</name>
    <message>
        <source>&amp;Open a study...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Abrir un estudio...</translation>
    </message>
    <message>
        <source>Choose the folder of a reader study; its key is not needed and not read</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elegir la carpeta de un estudio de lectores; la clave no hace falta y no se lee</translation>
    </message>
    <message>
        <source>Reader</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lector</translation>
    </message>
    <message>
        <source>Your code; every reader has an order of their own</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Su código; cada lector tiene su propio orden</translation>
    </message>
    <message>
        <source>Session</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Sesión</translation>
    </message>
    <message>
        <source>Cases that are read at one sitting</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Casos que se leen de una vez</translation>
    </message>
    <message>
        <source>&amp;Begin</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Empezar</translation>
    </message>
    <message>
        <source>Begin the session, or go on with it where its answers are in the folder</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Empezar la sesión, o continuarla si sus respuestas están en la carpeta</translation>
    </message>
    <message>
        <source>&amp;Real</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Real</translation>
    </message>
    <message>
        <source>Real</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Real</translation>
    </message>
    <message>
        <source>This is a scan of a patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Esto es una TC de un paciente</translation>
    </message>
    <message>
        <source>&amp;Simulated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Simulado</translation>
    </message>
    <message>
        <source>Simulated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simulado</translation>
    </message>
    <message>
        <source>This was simulated</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Esto fue simulado</translation>
    </message>
    <message>
        <source>How sure are you? 1 is a guess, 5 is certain.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>¿Cuán seguro está? 1 es una conjetura, 5 es seguro.</translation>
    </message>
    <message>
        <source>&amp;1</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;1</translation>
    </message>
    <message>
        <source>1, a guess</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>1, una conjetura</translation>
    </message>
    <message>
        <source>&amp;2</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;2</translation>
    </message>
    <message>
        <source>2, unsure</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>2, inseguro</translation>
    </message>
    <message>
        <source>&amp;3</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;3</translation>
    </message>
    <message>
        <source>3, fairly sure</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>3, bastante seguro</translation>
    </message>
    <message>
        <source>&amp;4</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;4</translation>
    </message>
    <message>
        <source>4, sure</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>4, seguro</translation>
    </message>
    <message>
        <source>&amp;5</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;5</translation>
    </message>
    <message>
        <source>5, certain</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>5, del todo seguro</translation>
    </message>
    <message>
        <source>&amp;Next</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>S&amp;iguiente</translation>
    </message>
    <message>
        <source>Keep the answer, which is final, and show the next case</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Guardar la respuesta, que es definitiva, y mostrar el caso siguiente</translation>
    </message>
    <message>
        <source>&amp;Pause</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Pausa</translation>
    </message>
    <message>
        <source>Hide the pictures and stop the clock, or go on</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Ocultar las imágenes y parar el reloj, o continuar</translation>
    </message>
</context>
<context>
    <name>Segmentation</name>
    <message>
        <source>F&amp;ind liver and tumour</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>B&amp;uscar hígado y tumor</translation>
    </message>
    <message>
        <source>Let the segmenter outline liver and tumour in the chosen CT</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dejar que el segmentador delimite hígado y tumor en la TC elegida</translation>
    </message>
    <message>
        <source>Segmentation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmentación</translation>
    </message>
    <message>
        <source>none yet</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>aún ninguna</translation>
    </message>
    <message>
        <source>The segmenter&apos;s, or your own; your own is used as it is</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La del segmentador o la suya propia; la suya se usa tal como está</translation>
    </message>
    <message>
        <source>Liver segment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmento del hígado</translation>
    </message>
    <message>
        <source>The segment that holds the liver</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El segmento que contiene el hígado</translation>
    </message>
    <message>
        <source>Tumour segment</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmento del tumor</translation>
    </message>
    <message>
        <source>The segment that holds the tumour</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El segmento que contiene el tumor</translation>
    </message>
    <message>
        <source>&amp;Edit in Segment Editor</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Editar en Segment Editor</translation>
    </message>
    <message>
        <source>Correct the outlines by hand, then measure again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Corregir los contornos a mano y medir de nuevo después</translation>
    </message>
    <message>
        <source>&amp;Measure lesions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Medir lesiones</translation>
    </message>
    <message>
        <source>Diameters, volumes and HU of the lesions; also asks the policy for suggestions</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Diámetros, volúmenes y UH de las lesiones; además pide sugerencias a la política</translation>
    </message>
    <message>
        <source>One row per lesion, largest first. Tick those that are to be treated; click a row to see it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Una fila por lesión, la más grande primero. Marque las que deben tratarse; haga clic en una fila para verla</translation>
    </message>
    <message>
        <source>Artery feeds</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La arteria irriga</translation>
    </message>
    <message>
        <source>What the treated artery feeds: choose from the list, or type, for example, segments 5, 8 or A8. Tumour outside it is not treated. Empty: not stated, and all of the liver counts as fed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Lo que irriga la arteria tratada: elija de la lista o escriba, por ejemplo, segments 5, 8 o A8. El tumor fuera de ello no se trata. Vacío: no indicado, y todo el hígado cuenta como irrigado</translation>
    </message>
    <message>
        <source>Segments</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Segmentos</translation>
    </message>
    <message>
        <source>Painted region</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Región pintada</translation>
    </message>
    <message>
        <source>The segment of this segmentation that you painted as what is fed; it counts in place of the borders of segments</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>El segmento de esta segmentación que usted pintó como lo que se irriga; cuenta en lugar de los límites de los segmentos</translation>
    </message>
    <message>
        <source>Pain&amp;t...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pin&amp;tar...</translation>
    </message>
    <message>
        <source>Paint what the artery feeds, in the Segment Editor; a segment for it is added to the segmentation</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pintar lo que irriga la arteria, en el Segment Editor; se añade un segmento para ello a la segmentación</translation>
    </message>
</context>
<context>
    <name>Setup</name>
    <message>
        <source>Compute on</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Calcular en</translation>
    </message>
    <message>
        <source>A MeWM server with a graphics card is faster; the CT is sent there. You are asked first</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Un servidor de MeWM con tarjeta gráfica es más rápido; la TC se envía a él. Antes se le pregunta</translation>
    </message>
    <message>
        <source>Address</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dirección</translation>
    </message>
    <message>
        <source>Address of a computer on which &quot;mewm serve&quot; runs</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dirección de un ordenador en el que se ejecuta &quot;mewm serve&quot;</translation>
    </message>
    <message>
        <source>Token file</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Archivo del token</translation>
    </message>
    <message>
        <source>empty: MEWM_SERVER_TOKEN, or the keyring</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>vacío: MEWM_SERVER_TOKEN o el llavero</translation>
    </message>
    <message>
        <source>File that holds the token of the server. Only the path is remembered, in this installation; neither path nor token is saved with the scene</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Archivo que contiene el token del servidor. Solo se recuerda la ruta, en esta instalación; ni la ruta ni el token se guardan con la escena</translation>
    </message>
    <message>
        <source>&amp;Choose...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Elegir...</translation>
    </message>
    <message>
        <source>Choose the file that holds the token</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Elegir el archivo que contiene el token</translation>
    </message>
    <message>
        <source>&amp;Test connection</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Probar conexión</translation>
    </message>
    <message>
        <source>Ask the server for its version, device and models; no image is sent</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Preguntar al servidor por su versión, su dispositivo y sus modelos; no se envía ninguna imagen</translation>
    </message>
    <message>
        <source>&amp;Withdraw consent</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Retirar consentimiento</translation>
    </message>
    <message>
        <source>Nothing is sent to this address any more until you agree again</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>No se envía nada más a esta dirección hasta que usted acepte de nuevo</translation>
    </message>
    <message>
        <source>Device</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Dispositivo</translation>
    </message>
    <message>
        <source>auto uses a graphics card if there is one</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>auto usa una tarjeta gráfica si la hay</translation>
    </message>
    <message>
        <source>Model</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Modelo</translation>
    </message>
    <message>
        <source>Model bundle; its checksums are verified whenever it is opened</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Paquete de modelo; sus sumas de comprobación se verifican siempre que se abre</translation>
    </message>
    <message>
        <source>&amp;Import model...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Importar modelo...</translation>
    </message>
    <message>
        <source>Add a model bundle from a .zip file</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Añadir un paquete de modelo desde un archivo .zip</translation>
    </message>
    <message>
        <source>&amp;Delete model</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Eliminar mo&amp;delo</translation>
    </message>
    <message>
        <source>Remove this model bundle, if you imported it</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Eliminar este paquete de modelo, si usted lo importó</translation>
    </message>
    <message>
        <source>Offline packages</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Paquetes sin conexión</translation>
    </message>
    <message>
        <source>folder with wheel files; empty: the package index</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>carpeta con archivos wheel; vacía: el índice de paquetes</translation>
    </message>
    <message>
        <source>Folder with wheel files, for a computer without network; empty: the package index</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Carpeta con archivos wheel, para un ordenador sin red; vacía: el índice de paquetes</translation>
    </message>
    <message>
        <source>I&amp;nstall packages...</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>I&amp;nstalar paquetes...</translation>
    </message>
    <message>
        <source>You are asked before anything is installed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Se le pregunta antes de instalar nada</translation>
    </message>
    <message>
        <source>Chec&amp;k this computer</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Comprobar este e&amp;quipo</translation>
    </message>
    <message>
        <source>Shows PyTorch, CUDA, driver, free memory, the worker&apos;s Python and the last error</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Muestra PyTorch, CUDA, controlador, memoria libre, el Python del proceso de cálculo y el último error</translation>
    </message>
    <message>
        <source>Cop&amp;y for a bug report</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Copiar para un in&amp;forme de error</translation>
    </message>
    <message>
        <source>Copies what was checked and the last error; no data of a patient</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Copia lo que se comprobó y el último error; ningún dato de un paciente</translation>
    </message>
    <message>
        <source>Privacy: everything is computed on this computer. MeWM sends nothing.</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Privacidad: todo se calcula en este ordenador. MeWM no envía nada.</translation>
    </message>
</context>
<context>
    <name>Simulation</name>
    <message>
        <source>Protocols to simulate:</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Protocolos que se simulan:</translation>
    </message>
    <message>
        <source>Tick the protocols to simulate; the panel Actions defines them</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Marque los protocolos que se simulan; el panel Acciones los define</translation>
    </message>
    <message>
        <source>Replicas</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Réplicas</translation>
    </message>
    <message>
        <source>How many times each protocol is simulated; the spread gives the range and the uncertainty map</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Cuántas veces se simula cada protocolo; la dispersión da el intervalo y el mapa de incertidumbre</translation>
    </message>
    <message>
        <source>Seed</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Semilla</translation>
    </message>
    <message>
        <source>The same seed gives the same result</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>La misma semilla da el mismo resultado</translation>
    </message>
    <message>
        <source>Steps</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pasos</translation>
    </message>
    <message>
        <source>Sampling steps of the diffusion model; 8 is the default</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Pasos de muestreo del modelo de difusión; 8 es el valor predeterminado</translation>
    </message>
    <message>
        <source>&amp;Simulate</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>&amp;Simular</translation>
    </message>
    <message>
        <source>Simulate the ticked protocols and show them side by side</source>
        <translatorcomment>machine-made, not read by a person</translatorcomment>
        <translation>Simular los protocolos marcados y mostrarlos uno al lado del otro</translation>
    </message>
</context>
</TS>
